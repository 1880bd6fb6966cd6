import { rememberUse } from '../../db/grants/replays.ts'
import { OAuthError, unavailable } from '../errors.ts'
import type { UnverifiedAssertion } from '../keys/proofs/assertion.ts'
import { judgeIssuedAssertion } from '../keys/proofs/issued-assertion.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { namedBy } from '../protocol/trusted-subjects.ts'
import { countOne } from '../record/counts.ts'
import type { Event } from '../record/events.ts'
import { auditEntry } from '../record/record.ts'
import { networkOf, normalAddress } from '../values/addresses.ts'
import type { IncomingRequest } from './caller.ts'
import type { ClientAuthContext } from './auth-context.ts'
import { fapiAheadMin, isFapi } from './fapi.ts'
import type { Client } from './registry.ts'
import { isSignedBy } from './signed-by.ts'
import { defaultLifeSeconds, type TrustedIssuer } from './trusted-issuer.ts'

/** An assertion (RFC 7523) whose `iss` is a trusted issuer; it may still have been made up. */
export interface IssuedAssertion {
  readonly issuer: TrustedIssuer
  readonly assertion: UnverifiedAssertion
  /** The client that it must name, where the request names one. */
  readonly clientId: string | undefined
}

/** The client that a genuine assertion names. */
export interface ProvenByIssuer {
  readonly client: Client
  /** The `sub` of the user in whose name it acts; null where it acts in its own. */
  readonly user: string | null
  /** Uses the assertion up, unless its issuer's may be used again. Throws where it was used before. */
  spend(): Promise<void>
}

/** The issuer of an assertion, if it is a trusted one. */
export async function issuerOf(
  { clients }: Pick<ClientAuthContext, 'clients'>,
  { issuer }: UnverifiedAssertion,
): Promise<TrustedIssuer | undefined> {
  return issuer === undefined ? undefined : (await clients.registry.trustedIssuers()).get(issuer)
}

/**
 * The client that an assertion of a trusted issuer names, as its grant (RFC 7523 §2.1) or for authentication
 * (§2.2): `code` is the error where it does not. The sender is told what is wrong with the assertion itself;
 * which subjects the issuer is trusted for, the log alone says. 503 where its keys cannot be had.
 */
export async function provenByIssuer(
  ctx: ClientAuthContext,
  request: IncomingRequest,
  issued: IssuedAssertion,
  code: 'invalid_client' | 'invalid_grant',
): Promise<ProvenByIssuer> {
  const { issuer } = issued.issuer
  const verdict = await judge(ctx, issued, code === 'invalid_grant').catch((error: unknown) => {
    countOne(ctx.counts.assertions, `${issuer} unavailable`)
    throw error
  })
  if (verdict.kind === 'refused') throw refusal(ctx, request, issued, { code, ...verdict })
  const { client, user, replayId, expiresAt } = verdict
  return {
    client,
    user,
    spend: async () => {
      if (replayId && !issued.issuer.reusable && !(await rememberUse(ctx.db, { id: replayId, expiresAt }))) {
        const reason = 'its jti was used before, each request needs an assertion of its own'
        throw refusal(ctx, request, issued, { code, reason, told: reason, isGenuine: true })
      }
      countOne(ctx.counts.assertions, `${issuer} accepted`)
      const detail = { issuer, subject: subjectOf(issued) }
      const userId = (user !== null && parseUuid(user)) || null
      note(ctx, request, { event: 'assertion_accepted', clientId: client.id, userId, detail })
    },
  }
}

type Verdict =
  | {
      readonly kind: 'named'
      readonly client: Client
      readonly user: string | null
      readonly replayId: Buffer | undefined
      readonly expiresAt: number
    }
  | ({ readonly kind: 'refused' } & Refusal)

interface Refusal {
  /** For the log. */
  readonly reason: string
  /** For the sender: a constant text. */
  readonly told: string
  /** Whether the issuer has signed it, so that its `sub` is no invention. */
  readonly isGenuine: boolean
}

/**
 * All that an assertion must be, in the order in which strangers learn least. One that names a user is a
 * grant, and no client authentication.
 */
async function judge(ctx: ClientAuthContext, issued: IssuedAssertion, isGrant: boolean): Promise<Verdict> {
  const { issuer, assertion, clientId } = issued
  const claims = judgeIssuedAssertion(assertion, {
    audience: issuer.audience ?? ctx.config.issuer,
    lifeMaxSeconds: issuer.max_life ?? defaultLifeSeconds,
    now: ctx.clock.now(),
    skewSeconds: ctx.keys.clockSkewSeconds(),
    aheadSeconds: fapiAheadMin,
  })
  if (claims.kind === 'invalid') return refused(claims.reason, claims.reason, false)
  if (!(await isSignedBy(ctx.clients.keys, issuer, assertion))) {
    // An issuer without any key is one that is broken, and no reason to give up.
    if ((await ctx.clients.keys.of(issuer)).length === 0)
      throw unavailable(`${issuer.issuer} has no usable key`, 30)
    const reason = 'no key of its issuer has signed it'
    return refused(reason, reason, false)
  }
  const { named, reason } = namedBy(issuer.subjects, assertion.jwt.claims)
  if (named.length === 0) return refused(reason, nobody, true)
  const fitting = named.filter(one => clientId === undefined || one.client === clientId)
  const [one, ...others] = isGrant ? fitting : fitting.filter(({ user }) => user === null)
  if (!one) return refused('it names another client than the request, or a user', nobody, true)
  if (others.length > 0) {
    const told = 'it names several clients: say which one by client_id'
    return refused(told, told, true)
  }
  const { client: id, user } = one
  const client = await ctx.clients.registry.findClient(id)
  const fault = !client ? 'is unknown' : client.disabled_at !== null ? 'is disabled' : whyNeverNamed(client)
  if (!client || fault !== undefined) return refused(`the client ${id} that it names ${fault}`, nobody, true)
  return { kind: 'named', client, user, replayId: claims.replayId, expiresAt: claims.expiresAt }
}

const nobody = 'it is genuine, but names no client here: the log of the server says which claim does not fit'

const refused = (reason: string, told: string, isGenuine: boolean): Verdict => ({
  kind: 'refused',
  reason,
  told,
  isGenuine,
})

/** Why no issuer can name a client, whatever it is; undefined if one can. */
export function whyNeverNamed(client: Pick<Client, 'auth_method' | 'profile'>): string | undefined {
  if (client.auth_method === 'none') return 'is public: everybody may be it'
  if (isFapi(client)) return 'is held to fapi2, which takes its own keys alone'
  return undefined
}

/**
 * The answer to an assertion that proves nothing: beyond the limit 429, which slows down a loop. Right ones
 * always pass.
 */
function refusal(
  ctx: ClientAuthContext,
  request: IncomingRequest,
  issued: IssuedAssertion,
  { code, reason, told, isGenuine }: Refusal & { readonly code: 'invalid_client' | 'invalid_grant' },
): OAuthError {
  const { issuer } = issued.issuer
  const detail = { issuer, ...(isGenuine && { subject: subjectOf(issued) }), reason }
  countOne(ctx.counts.assertions, `${issuer} refused`)
  note(ctx, request, { event: 'assertion_refused', clientId: null, detail })
  const facts = { event: 'assertion_refused', ...detail }
  const retryAfter = ctx.users.throttle.countWrongCredentials(issuer)
  if (retryAfter === 0)
    return new OAuthError(code, `the assertion is not valid: ${told}`, { cause: reason, facts })
  return new OAuthError(
    'temporarily_unavailable',
    'too many assertions that are not valid, come back later',
    {
      status: 429,
      retryAfter,
      cause: reason,
      facts,
    },
  )
}

/** The `sub`, as far as it has room in a log. */
const subjectOf = ({ assertion: { subject } }: IssuedAssertion) => subject.slice(0, 500)

function note(
  { audit, clock }: ClientAuthContext,
  { id: requestId, ip }: IncomingRequest,
  event: Event<'assertion_accepted' | 'assertion_refused'>,
): void {
  const caller = { address: normalAddress(ip), requestId }
  const { clientId: id } = event
  if (id === null) {
    audit.note(auditEntry({ clock, actor: { kind: 'nobody', caller } }, event), networkOf(caller.address))
    return
  }
  // A cluster comes from one address, and does nothing wrong.
  audit.note(auditEntry({ clock, actor: { kind: 'client', id, caller } }, event), undefined)
}
