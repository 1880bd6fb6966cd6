import {
  approveDeviceAuthorization,
  denyDeviceAuthorization,
  findByUserCode,
  findDeviceAuthorization,
  insertDeviceAuthorization,
  type DeviceAuthorization,
} from '../../db/grants/device-authorizations.ts'
import type { OutboxTable } from '../../db/schema.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { plainRequest, type AuthorizationRequest } from '../protocol/authorization-request.ts'
import { scopesToAllow } from '../protocol/claims.ts'
import { detailsColumn, storedDetails } from '../protocol/authorization-details.ts'
import { deviceSeconds, pollSeconds, sealDeviceCode } from '../protocol/device-code.ts'
import { judgeDeviceRequest } from '../protocol/device-verdict.ts'
import type { Form } from '../protocol/form.ts'
import { hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { newUserCode, readUserCode } from '../protocol/user-code.ts'
import type { RequestOrigin } from '../record/actor.ts'
import type { Event } from '../record/events.ts'
import { auditEntry, byNobody, byUser, record } from '../record/record.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import type { Allowance } from '../users/throttle.ts'
import { userCodeLimit, userCodeSourceLimit } from '../users/guess-limits.ts'
import { hmacSha256 } from '../values/sha256.ts'
import { itemsOf } from '../values/list.ts'
import { issueCode } from './code.ts'
import { consentGranted, consentOutdated, newConsent } from './consents.ts'

/**
 * So many devices may wait at a time. This is the one request of which a row is kept that anybody can make,
 * as a public client: so each source fills little of the table, and all together no more than this.
 */
const bounds = { ofClientMax: 10_000, ofSourceMax: 100 }

/** When one who is refused may try again, in seconds: some of those that wait have expired by then. */
const fullSeconds = 60

/** A device that asks (RFC 8628 §3.1). */
export interface DeviceAsking {
  /** Has authenticated. */
  readonly client: Client
  readonly caller: Caller
  readonly form: Form
  /** The thumbprint of the DPoP proof that came with it. */
  readonly proofThumbprint: Buffer | undefined
  /** For which no device gets tokens. */
  readonly withheldScopes: readonly string[]
}

export interface DeviceCodes {
  /** For the device alone. */
  readonly deviceCode: string
  /** For the person at it. */
  readonly userCode: string
}

/** Takes the request of a device. Throws what is wrong with it; 429 where too many wait. */
export async function askForDevice(ctx: Context, asking: DeviceAsking): Promise<DeviceCodes> {
  const { client, caller, form, proofThumbprint, withheldScopes } = asking
  const now = ctx.clock.now()
  const verdict = judgeDeviceRequest(form, {
    client,
    resources: await ctx.clients.registry.findResources(client.resources),
    proofJkt: proofThumbprint?.toString('base64url') ?? null,
    sessionId: newUuid(now),
    withheldScopes,
    userCode: newUserCode(),
    now,
  })
  if (verdict.kind === 'refused') throw new OAuthError(verdict.error, verdict.description)
  const secret = newSessionSecret()
  const userCode = await insert(ctx, verdict.request, { secret, caller })
  ctx.counts.devices.asked++
  const { sessionId: id } = verdict.request
  const { deviceCodeKeyOf, currentId: rootKeyId } = ctx.rootKeys
  return { deviceCode: sealDeviceCode(deviceCodeKeyOf, { rootKeyId, id, secret }), userCode }
}

/** Two codes are equal once in a lifetime; three of them one after the other never are. */
const drawsMax = 3

/** The user code under which it was kept. */
async function insert(
  ctx: Context,
  request: AuthorizationRequest & { readonly userCode: string },
  { secret, caller }: { readonly secret: Buffer; readonly caller: Caller },
): Promise<string> {
  let { userCode } = request
  for (let draws = 0; draws < drawsMax; draws++) {
    const row = {
      id: request.sessionId,
      client_id: request.clientId,
      client_made_at: request.clientMadeAt,
      secret_hash: hashSecret(secret),
      user_code_hash: macOf(ctx, userCode, ctx.rootKeys.currentId),
      scope: request.scope,
      resource: request.resource,
      authorization_details: detailsColumn(request.details),
      acr_values: request.acrValues.join(' '),
      dpop_jkt: request.dpopJkt,
      address: caller.address,
      source: caller.source ?? null,
      created_at: request.madeAt,
      expires_at: request.madeAt + deviceSeconds,
      interval_seconds: pollSeconds,
    }
    const insertion = await insertDeviceAuthorization(ctx.db, row, bounds)
    if (insertion === 'inserted') return userCode
    if (insertion === 'full') throw tooMany(ctx)
    userCode = newUserCode()
  }
  throw unavailable('every user code that was drawn is taken')
}

function tooMany({ counts }: Pick<Context, 'counts'>): OAuthError {
  counts.devices.withheld++
  return new OAuthError(
    'temporarily_unavailable',
    'too many devices of this client, or from this address, wait for an answer: try again later',
    { status: 429, retryAfter: fullSeconds },
  )
}

/** Under a root key, so that the database alone does not tell which codes are good. */
function macOf({ rootKeys }: Pick<Context, 'rootKeys'>, userCode: string, rootKeyId: string): Buffer {
  const key = rootKeys.derive('user code', rootKeyId)
  if (!key) throw new Error('unreachable: a root key that is listed is there')
  return hmacSha256(key, userCode)
}

/** What has become of the request of a device. */
export type DeviceState = 'waiting' | 'approved' | 'denied' | 'expired'

export function deviceStateOf(
  row: Pick<DeviceAuthorization, 'decided_at' | 'approval' | 'expires_at'>,
  now: number,
): DeviceState {
  if (row.decided_at !== null) return row.approval === null ? 'denied' : 'approved'
  return row.expires_at > now ? 'waiting' : 'expired'
}

/** The device of a request, with its state. */
export async function findDevice(
  { db, clock }: Pick<Context, 'db' | 'clock'>,
  { sessionId }: Pick<AuthorizationRequest, 'sessionId'>,
): Promise<{ readonly device: DeviceAuthorization | undefined; readonly state: DeviceState }> {
  const device = await findDeviceAuthorization(db, sessionId)
  return { device, state: device ? deviceStateOf(device, clock.now()) : 'expired' }
}

/** A user code that somebody has typed. */
export interface TypedUserCode {
  readonly typed: string
  /** SHA-256 of the cookie of the browser, in base64url; undefined where it has shown none. */
  readonly browser: string | undefined
  readonly caller: Caller
}

export type UserCodeProblem =
  { readonly problem: 'wrong' } | { readonly problem: 'throttled'; readonly retryAfter: number }

/**
 * The request of the device that shows this code, and waits. A wrong code is counted before it is looked at,
 * by browser and by source; a right one costs nothing.
 */
export async function enterUserCode(
  ctx: Context,
  { typed, browser, caller }: TypedUserCode,
): Promise<AuthorizationRequest | UserCodeProblem> {
  const code = readUserCode(typed)
  // A slip of the finger that is no code is no guess.
  if (code === undefined) return { problem: 'wrong' }
  const ofSource: Allowance = {
    of: ['user code of a source', caller.source ?? ''],
    limit: userCodeSourceLimit,
  }
  const attempt = await ctx.users.throttle.takeFrom(
    browser === undefined
      ? [ofSource]
      : [{ of: ['user code of a browser', browser], limit: userCodeLimit }, ofSource],
  )
  if (attempt.kind === 'refused') {
    ctx.counts.devices.throttled++
    noteRefused(ctx, caller, { event: 'user_code_throttled' })
    return { problem: 'throttled', retryAfter: attempt.retryAfter }
  }
  try {
    const { ids } = ctx.rootKeys
    const row = await findByUserCode(
      ctx.db,
      ids.map(id => macOf(ctx, code, id)),
    )
    if (row && deviceStateOf(row, ctx.clock.now()) === 'waiting') return requestOf(row, code)
    attempt.fail()
  } finally {
    // Nothing after a failure.
    attempt.giveBack()
  }
  ctx.counts.devices.wrong_code++
  noteRefused(ctx, caller, { event: 'user_code_failed' })
  return { problem: 'wrong' }
}

function requestOf(row: DeviceAuthorization, userCode: string): AuthorizationRequest {
  return {
    ...plainRequest,
    sessionId: row.id,
    clientId: row.client_id,
    clientMadeAt: row.client_made_at,
    redirectUri: '',
    isRedirectUriSent: false,
    scope: row.scope,
    resource: row.resource,
    details: storedDetails(row.authorization_details),
    acrValues: itemsOf(row.acr_values),
    dpopJkt: row.dpop_jkt,
    userCode,
    madeAt: row.created_at,
  }
}

/** Told to the log and, with others of its kind, to the audit trail. */
function noteRefused(
  { audit, clock, log }: Pick<Context, 'audit' | 'clock' | 'log'>,
  { address, requestId, source }: Caller,
  event: Event<'user_code_failed' | 'user_code_throttled'>,
): void {
  const actor = { kind: 'nobody', caller: { address, requestId } } as const
  log.info({ event: event.event, address }, 'a code of a device was refused')
  audit.note(auditEntry({ clock, actor }, event), source)
}

/** What a person says of a device that waits. */
interface DeviceDecision {
  readonly request: AuthorizationRequest
  readonly caller: RequestOrigin
}

/** A person who lets a device in. */
export interface DeviceApproval extends DeviceDecision {
  /** As both were when the person was looked for: an epoch that was raised since ends the approval. */
  readonly client: Client
  readonly signIn: SignIn
  /** That tell of it. */
  readonly mails: readonly OutboxTable[]
}

/**
 * Lets a device in, and remembers what is allowed with it, but of the operator's own apps nothing beside
 * authorization details, as at /consent. Whether it counts: it was the first decision, and in time; otherwise
 * nothing is remembered.
 */
export async function approveDevice(ctx: Context, approval: DeviceApproval): Promise<boolean> {
  const { request, client, signIn, caller, mails } = approval
  const { user } = signIn
  const { sessionId: id, resource, scope, details } = request
  const allowed = { user, client, resource, scope: scopesToAllow(request), details }
  const isKept = client.consent !== 'never' || details.length > 0
  const consent = isKept ? newConsent(ctx, allowed) : null
  const seal = (consentId: Buffer | null) =>
    // A device stays logged in where it is, whatever becomes of this browser.
    issueCode(
      ctx,
      { request, logIn: signIn, signIn: null, user, client, scope, consentId },
      'device approval',
    )
  const isFirst = await record(
    { ...byUser(ctx, user.id, caller), mails },
    () => [
      ...(consent ? [consentGranted(allowed)] : []),
      { event: 'device_approved', userId: user.id, clientId: client.id, sessionId: id },
    ],
    db => approveDeviceAuthorization(db, { id, now: ctx.clock.now(), consent, seal }),
  )
  if (isFirst === undefined) throw consentOutdated()
  return isFirst
}

/** Keeps a device out. Whether it counts, as above. `userId` is null where it was said before a log-in. */
export async function denyDevice(
  ctx: Context,
  { request, caller, userId }: DeviceDecision & { readonly userId: Buffer | null },
): Promise<boolean> {
  const { sessionId, clientId } = request
  const by = userId ? byUser(ctx, userId, caller) : byNobody(ctx, caller)
  return record(by, { event: 'device_denied', userId, clientId, sessionId }, db =>
    denyDeviceAuthorization(db, { id: sessionId, now: ctx.clock.now() }),
  )
}
