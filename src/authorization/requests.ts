import { findSession } from '../../db/sessions/sessions.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { shownContent, shownOf, type Shown, type ShownContent } from '../factors/shown.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import { plainRequest, type AuthorizationRequest } from '../protocol/authorization-request.ts'
import { isDocumentUrl } from '../protocol/document-url.ts'
import type { Form } from '../protocol/form.ts'
import { hintOf } from '../protocol/id-token.ts'
import { redirectUriMax } from '../protocol/redirect-uri.ts'
import { judgeAuthorizationRequest, type RequestVerdict } from '../protocol/request-verdict.ts'
import { formatUuid, newUuid, ownUuid } from '../protocol/secrets.ts'
import type { Log } from '../record/log.ts'

/** How long a person may take to log in, in seconds. */
export const requestSeconds = 1800

/** How long a client may take to send a person here with what it has pushed, in seconds (RFC 9126 §2.2). */
export const pushedSeconds = 90

/** RFC 9126 §2.2 */
const uriPrefix = 'urn:ietf:params:oauth:request_uri:'

/** Why the page on which a person logs in is shown again. */
export type LogInProblem =
  | 'wrong_credentials'
  | 'missing_credentials'
  | 'missing_code'
  | 'wrong_code'
  | 'wrong_recovery_code'
  | 'second_step_expired'
  | 'passkey_expired'
  | 'passkey_unknown'
  | 'passkey_unverified'
  | 'passkey_refused'

/** What a person has shown in one browser for one request. */
export interface ShownInBrowser extends Shown {
  /** Whether the browser is to stay logged in when it is closed. */
  readonly stays: boolean
}

/** A request on its way through the pages, and what has met it so far. */
export interface PendingRequest {
  readonly request: AuthorizationRequest
  /** SHA-256 of the cookie of the browser in which it goes on, in base64url; null before it is bound. */
  readonly browser: string | null
  /** The sign-in that has logged in for this very request, so that it is as new as it has to be. */
  readonly signIn: Buffer | null
  /** The user whom a page asks, or has asked: the answer of anybody else counts for nothing. */
  readonly user: Buffer | null
  /** Whether the person has asked to log in as somebody else. */
  readonly wantsAnother: boolean
  /** What was shown of who the person is, and waits for one more factor. */
  readonly shown: ShownInBrowser | null
  /** As it was typed, for the page that is shown again. */
  readonly username: string | null
  /** Whether the box was ticked with which the browser stays logged in, for the same page. */
  readonly stays: boolean
  readonly problem: LogInProblem | null
  /** With `passkey_unknown`: the id of the passkey, in base64url, of which the browser is told. */
  readonly unknownPasskey: string | null
}

/** How a request has come, beside its parameters. */
export interface Arrival {
  /** The parameters that were sent more than once. */
  readonly repeated?: readonly string[]
  /** Whether by `/par`, where the client has authenticated. */
  readonly isPushed?: boolean
  /** Whether by `/authorize-challenge`, where the client asks the person itself. */
  readonly isDirect?: boolean
  /** The thumbprint of the DPoP proof that came with it. */
  readonly proofThumbprint?: Buffer | undefined
  readonly log: Pick<Log, 'info'>
}

/** Judges a request of this client, whose session gets its id now. */
export async function acceptRequest(
  { clients, clock, keys }: Pick<Context, 'clients' | 'clock' | 'keys'>,
  client: Client,
  form: Form,
  { repeated = [], isPushed = false, isDirect = false, proofThumbprint, log }: Arrival,
): Promise<RequestVerdict> {
  const now = clock.now()
  const hint = form.get('id_token_hint')
  const hinted = hint === undefined ? undefined : hintOf(keys.recognise(hint, 'JWT'))
  const verdict = judgeAuthorizationRequest(form, {
    client,
    resources: await clients.registry.findResources(client.resources),
    repeated,
    isPushed,
    isDirect,
    proofJkt: proofThumbprint?.toString('base64url') ?? null,
    hintedSub: hinted?.sub ?? null,
    sessionId: newUuid(now),
    now,
  })
  if (verdict.kind === 'shown') {
    // Anybody can send it: no more of it than one that is registered can have.
    const received = form.get('redirect_uri')?.slice(0, redirectUriMax) ?? null
    const facts = { client_id: client.id, received, registered: client.redirect_uris }
    log.info({ event: 'authorization_request_refused', problem: verdict.problem, ...facts }, 'not redirected')
  }
  return verdict
}

export type SealContext = Pick<Context, 'config' | 'rootKeys'>
export type OpenContext = Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock'>

/** The `request_uri` of a request that was pushed (RFC 9126 §2.2). It is good for `pushedSeconds`. */
export function pushRequest({ config, rootKeys }: SealContext, request: AuthorizationRequest): string {
  const content = { request: withoutUsual(request) }
  return uriPrefix + sealValue(rootKeys, 'pushed authorization request', config.issuer, content)
}

/** Whether a `request_uri` has the form of those that `pushRequest` makes. */
export function isPushedUri(requestUri: string): boolean {
  return requestUri.startsWith(uriPrefix)
}

/**
 * What a `request_uri` stands for, where it is of this client: the request, or why it is good no more.
 * Undefined where it is no such thing. It may come again and again, since browsers load pages twice, until
 * its session exists.
 */
export async function findPushed(
  ctx: OpenContext & Pick<Context, 'db'>,
  client: Pick<Client, 'id' | 'created_at'>,
  requestUri: string,
): Promise<
  { readonly kind: 'good' | 'expired' | 'used'; readonly request: AuthorizationRequest } | undefined
> {
  if (!isPushedUri(requestUri)) return undefined
  const sealed = requestUri.slice(uriPrefix.length)
  const content = await openValue(ctx, 'pushed authorization request', ctx.config.issuer, sealed)
  if (!content) return undefined
  const { request } = content as unknown as { request: RequestContent }
  const opened = withUsual(request)
  if (!isOf(opened, client)) return undefined
  if (isOver(opened, pushedSeconds, ctx.clock.now())) return { kind: 'expired', request: opened }
  return { kind: (await isUsed(ctx, opened)) ? 'used' : 'good', request: opened }
}

/** A clock that was set back makes nothing younger than it can be. */
export function isOver(
  { madeAt }: Pick<AuthorizationRequest, 'madeAt'>,
  seconds: number,
  now: number,
): boolean {
  return Math.abs(now - madeAt) >= seconds
}

/**
 * Whether a request is of this client, and not of a deleted one that had the same id. A URL is always of who
 * holds it, and its client may get its row only while the request is on its way.
 */
export function isOf(
  { clientId, clientMadeAt }: Pick<AuthorizationRequest, 'clientId' | 'clientMadeAt'>,
  client: Pick<Client, 'id' | 'created_at'>,
): boolean {
  return clientId === client.id && (isDocumentUrl(clientId) || clientMadeAt === client.created_at)
}

/** Whether the session of a request exists, or has existed: no further one comes of it. */
export async function isUsed(
  { db }: Pick<Context, 'db'>,
  { sessionId }: Pick<AuthorizationRequest, 'sessionId'>,
): Promise<boolean> {
  return (await findSession(db, sessionId)) !== undefined
}

/** The texts of which requests were opened, for as long as those are looked at. */
const openedTexts = new WeakMap<PendingRequest, string>()

/**
 * A request as it travels in the URLs of pages. It is good for `requestSeconds` since it was made. One that
 * has come in such a URL, and is passed on as it is, has its text already.
 */
export function sealRequest({ config, rootKeys }: SealContext, pending: PendingRequest): string {
  const opened = openedTexts.get(pending)
  if (opened !== undefined) return opened
  const { request, signIn, user, wantsAnother, browser, username, stays } = pending
  const { problem, unknownPasskey, shown } = pending
  return sealValue(rootKeys, 'authorization request', config.issuer, {
    ...withoutNulls({ browser, username, problem, unknownPasskey }),
    ...(signIn && { signIn: formatUuid(signIn) }),
    ...(user && { user: formatUuid(user) }),
    ...(wantsAnother && { wantsAnother }),
    ...(stays && { stays }),
    ...(shown && { shown: shownContent(shown) }),
    request: withoutUsual(request),
  })
}

export interface OpenedRequest extends PendingRequest {
  readonly isExpired: boolean
}

/**
 * Opens a request that was sealed here; undefined for any other text. Does NOT check the browser, nor whether
 * it is used. Throws `temporarily_unavailable` (503) for one that another instance may have made, while this
 * one is behind it.
 */
export async function openRequest(ctx: OpenContext, text: string): Promise<OpenedRequest | undefined> {
  const content = await openValue(ctx, 'authorization request', ctx.config.issuer, text)
  if (!content) return undefined
  const { request, signIn, user, shown, ...rest } = content as unknown as PendingContent
  const opened = {
    ...fresh(withUsual(request)),
    ...rest,
    ...(signIn !== undefined && { signIn: ownUuid(signIn) }),
    ...(user !== undefined && { user: ownUuid(user) }),
    ...(shown !== undefined && { shown: shownOf(shown) }),
    isExpired: isOver(request, requestSeconds, ctx.clock.now()),
  }
  openedTexts.set(opened, text)
  return opened
}

/** A request before any log-in, choice or entry but the ones given here. */
export function fresh(
  request: AuthorizationRequest,
  progress: Partial<Omit<PendingRequest, 'request'>> = {},
): PendingRequest {
  return {
    request,
    browser: null,
    signIn: null,
    user: null,
    wantsAnother: false,
    shown: null,
    username: null,
    stays: false,
    problem: null,
    unknownPasskey: null,
    ...progress,
  }
}

/** The same request without what was said of it, which is said once. */
export function withoutProblem(pending: PendingRequest): PendingRequest {
  return pending.problem === null ? pending : { ...pending, problem: null, unknownPasskey: null }
}

type PendingContent = Partial<Omit<PendingRequest, 'request' | 'signIn' | 'user' | 'shown'>> & {
  readonly request: RequestContent
  readonly signIn?: string
  readonly user?: string
  readonly shown?: ShownContent<ShownInBrowser>
}

/** A request in a sealed text. */
export type RequestContent = Partial<AuthorizationRequest> &
  Pick<AuthorizationRequest, 'clientId' | 'redirectUri' | 'madeAt'> & { readonly sid: string }

/** What is as usual is left out, since each byte is one of a URL. */
export function withoutUsual({
  sessionId,
  ...request
}: AuthorizationRequest): Readonly<Record<string, unknown>> {
  const usual: Readonly<Record<string, unknown>> = plainRequest
  const members = Object.entries(request).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(usual[name]),
  )
  return { ...Object.fromEntries(members), sid: formatUuid(sessionId) }
}

/** The request of such a text. */
export function withUsual({ sid, ...request }: RequestContent): AuthorizationRequest {
  return { ...plainRequest, ...request, sessionId: ownUuid(sid) }
}

function withoutNulls(members: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null))
}
