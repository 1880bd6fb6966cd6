import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { openAuthSession, sealAuthSession, type AuthSession } from '../authorization/auth-session.ts'
import {
  challengeBinding,
  takeStep,
  WrongFactor,
  type ChallengeCall,
  type FactorName,
} from '../authorization/challenge.ts'
import { acceptRequest, isOf, pushedSeconds, pushRequest } from '../authorization/requests.ts'
import { callerOf } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { checkProfile, spendProof } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { isRefusedUnheard, OAuthError } from '../errors.ts'
import { requestOptions } from '../factors/use-passkey.ts'
import { logOf } from '../http/request-log.ts'
import type { Proof } from '../keys/proofs/dpop.ts'
import { formOf, type Form } from '../protocol/form.ts'
import { networkOf } from '../values/addresses.ts'
import { checkOrigin } from './origins.ts'
import { requireAccepted } from './par.ts'
import { proofReader } from './proofs.ts'

/**
 * POST /authorize-challenge (draft-ietf-oauth-first-party-apps): an app of one's own asks people for what
 * they log in with in pages of its own, and gets the code that /authorize would have sent. The client
 * authenticates as at /token. If more is needed, the answer is `insufficient_authorization`, an
 * `auth_session` to go on with, and `missing`: the parameters of which the next request has one.
 */
export function authorizeChallengeEndpoint(app: FastifyInstance, ctx: Context): void {
  const path = '/authorize-challenge'
  const proofs = proofReader(ctx, path)
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const form = formOf(request.body)
    const proof = proofs.read(request, reply)
    const begun = await begunSession(ctx, form)
    const client = await authenticateClient(ctx, request, withClientOf(begun, form, request))
    checkOrigin(ctx, client, request, reply)
    if (client.first_party !== 1)
      throw new OAuthError(
        'unauthorized_client',
        'the client may not ask people itself: lead them to /authorize',
      )
    if (proof) checkProfile(client, proof)
    const session = begun ?? (await newSession(ctx, client, { form, proof, log: logOf(request) }))
    checkBinding(session, client, proof)
    // As at /par: of a public client anybody can send one.
    if (proof && client.auth_method !== 'none') await spendProof(ctx, proof)
    return respond(ctx, { client, caller: callerOf(request, client), session, form })
  }
  app.post(path, async (request, reply) => {
    try {
      return await ctx.load.admission.admit('log_in', () => answer(request, reply), networkOf(request.ip))
    } catch (error) {
      // Not while it is under way: a request that waits here takes no other's place.
      if (isRefusedUnheard(error)) await ctx.load.delayRefusal()
      throw error
    }
  })
}

const invalidSession = (cause: string) =>
  new OAuthError('invalid_session', 'the auth_session is not valid, or has expired: begin again without it', {
    cause,
  })

/** What the request goes on with; undefined for a first one. */
async function begunSession(ctx: Context, form: Form): Promise<AuthSession | undefined> {
  const text = form.get('auth_session')
  if (text === undefined) return undefined
  const session = await openAuthSession(ctx, text)
  if (!session) throw invalidSession('it was not made here, is too old, or its code was redeemed')
  return session
}

/** The form, with the client that the `auth_session` names where nothing else does. */
function withClientOf(session: AuthSession | undefined, form: Form, { headers }: FastifyRequest): Form {
  const isNamed = ['client_id', 'client_assertion'].some(name => form.has(name))
  if (!session || isNamed || headers.authorization !== undefined) return form
  return new Map([...form, ['client_id', session.request.clientId]])
}

async function newSession(
  ctx: Context,
  client: Client,
  { form, proof, log }: { form: Form; proof: Proof | undefined; log: FastifyRequest['log'] },
): Promise<AuthSession> {
  const arrival = { isDirect: true, proofThumbprint: proof?.thumbprint, log }
  return { request: requireAccepted(await acceptRequest(ctx, client, form, arrival)), shown: null }
}

/** An `auth_session` is of one client, and of its DPoP key where it began with one. */
function checkBinding({ request }: AuthSession, client: Client, proof: Proof | undefined): void {
  if (!isOf(request, client)) throw invalidSession("it is another client's")
  if (request.dpopJkt === null) return
  if (proof?.thumbprint.toString('base64url') !== request.dpopJkt)
    throw invalidSession('it began with a DPoP key that was not shown')
}

async function respond(ctx: Context, call: ChallengeCall) {
  try {
    const step = await takeStep(ctx, call)
    switch (step.kind) {
      case 'code':
        return { authorization_code: step.code, device_token: step.deviceToken }
      case 'web':
        throw webRefusal(ctx, call.session)
      case 'missing':
        throw insufficient('more is needed to log in', await membersOf(ctx, step))
    }
  } catch (error) {
    if (!(error instanceof WrongFactor)) throw error
    const { message, cause, facts } = error.refusal
    throw insufficient(message, await membersOf(ctx, error), { cause, ...(facts && { facts }) })
  }
}

const insufficient = (
  description: string,
  members: Readonly<Record<string, unknown>>,
  options: { readonly cause?: unknown; readonly facts?: Readonly<Record<string, unknown>> } = {},
) => new OAuthError('insufficient_authorization', description, { ...options, members })

/** What the app goes on with: `passkey_options` are those of WebAuthn Level 3 §5.1.10, in JSON. */
async function membersOf(
  ctx: Context,
  { session, missing }: { readonly session: AuthSession; readonly missing: readonly FactorName[] },
) {
  const asked = { browser: challengeBinding(session), userId: session.shown?.user }
  return {
    auth_session: sealAuthSession(ctx, session),
    missing,
    ...(missing.includes('passkey') && { passkey_options: await requestOptions(ctx, asked) }),
  }
}

/**
 * With a `request_uri` to lead the browser to /authorize with, where the code that comes of it is bound to a
 * verifier, and there is an address for it to come back to.
 */
function webRefusal(ctx: Context, { request }: AuthSession): OAuthError {
  const isPushed = request.codeChallenge !== null && request.redirectUri !== ''
  const now = { ...request, madeAt: ctx.clock.now() }
  const members = isPushed && { request_uri: pushRequest(ctx, now), expires_in: pushedSeconds }
  return new OAuthError('redirect_to_web', 'the rest is for a browser: lead the user to /authorize', {
    ...(members && { members }),
  })
}
