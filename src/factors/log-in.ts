import type { UserTable } from '../../db/schema.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import { findKnownSources } from '../../db/users/known-sources.ts'
import { findUser, rehashPassword } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { LimitName, LogInFailure } from '../record/events.ts'
import { auditEntry, byClient, type Recorder } from '../record/record.ts'
import {
  isOwner,
  openDeviceToken,
  sealDeviceToken,
  type DeviceOwner,
  type DeviceToken,
} from '../users/device-token.ts'
import { isKnownSource, learnSource } from '../users/known-sources.ts'
import type { Refused as RefusedAttempt } from '../users/throttle.ts'
import { takeOver } from './take-over.ts'

export interface LogIn {
  /** As it was typed. */
  readonly username: string
  readonly password: string
  /** Where it is typed: in the client, which asks itself, or at a page of ours, to which it has led. */
  readonly place: 'client' | 'page'
  readonly client: Client
  readonly caller: Caller
  /** The token of an earlier log-in at this place and on this device. Any other text counts as none. */
  readonly deviceToken: string | undefined
}

/**
 * The user whose password it is, perhaps taken over from an old system just now. `invalid_grant` if there is
 * none, in a time that does not tell why; 503 at once when too many wait; and 429 when there were too many
 * wrong guesses (RFC 6749 §4.3.2): then the password is not looked at.
 */
export async function verifyLogIn(ctx: Context, logIn: LogIn): Promise<UserTable> {
  const { username, password, caller } = logIn
  ctx.users.passwords.refuseIfQueueFull(caller.source)
  const own = await ownDevice(ctx, logIn)
  const name = comparedName(username)
  const guess = { username: own?.username ?? name, source: caller.source, device: own?.device }
  const attempt = await ctx.users.throttle.take(guess, () => comesFromKnownSource(ctx, logIn))
  if (attempt.kind === 'refused') throw throttled(ctx, logIn, attempt)
  try {
    const user = await findUser(ctx.db, username)
    const known = user?.disabled_at === null ? user : undefined
    // Unknown and disabled users cost the same time as others.
    const isRight = await ctx.users.passwords.verify(known, password, caller.source, name)
    if (known && isRight) {
      await renewHash(ctx, known, password)
      return known
    }
    const asker = askerOf(ctx, logIn)
    const moved = await takeOver(ctx, { username, password, source: caller.source, user, asker })
    if (moved) return moved
    attempt.fail()
    const reason = !user ? 'there is no such user' : known ? 'the password is wrong' : 'the user is disabled'
    throw failed(ctx, logIn, { userId: user?.id ?? null, reason })
  } finally {
    attempt.giveBack()
  }
}

/** Where somebody proves who it is. */
export type ProofPlace = Pick<LogIn, 'place' | 'client' | 'caller'>

/** Tells of a guess that is one too many, and says what is answered. */
export function throttled(
  ctx: Context,
  at: ProofPlace,
  {
    limit,
    retryAfter,
    userId,
  }: Pick<RefusedAttempt<LimitName>, 'limit' | 'retryAfter'> & { readonly userId?: Buffer },
): OAuthError {
  const clientId = at.client.id
  if (at.place === 'page') ctx.counts.signIns.throttled++
  const whose = userId === undefined ? {} : { userId }
  const event = { event: 'log_in_throttled', ...whose, clientId, detail: { limit } } as const
  ctx.audit.note(auditEntry(askerOf(ctx, at), event), at.caller.source)
  return new OAuthError('temporarily_unavailable', 'too many wrong passwords, come back later', {
    status: 429,
    retryAfter,
    cause: `the limit of wrong guesses for this ${limit} is reached`,
    facts: { event: 'log_in_throttled', ...whereFrom(at) },
  })
}

/** Tells of a wrong guess, and says what is answered: the same, whatever was wrong. */
export function failed(
  ctx: Context,
  at: ProofPlace,
  { userId, reason }: { readonly userId: Buffer | null; readonly reason: LogInFailure },
): OAuthError {
  if (at.place === 'page') ctx.counts.signIns.failed++
  const event = { event: 'log_in_failed', userId, clientId: at.client.id, detail: { reason } } as const
  ctx.audit.note(auditEntry(askerOf(ctx, at), event), at.caller.source)
  const facts = { event: 'log_in_failed', ...whereFrom(at) }
  return new OAuthError('invalid_grant', 'the user name or the password is wrong', { cause: reason, facts })
}

/**
 * For the log, whose readers may shut an address out: that of a guesser, and under no such name that of a
 * client through which all users come.
 */
function whereFrom({ client, caller: { address, source } }: ProofPlace) {
  const from = source === undefined ? { address: undefined, client_address: address } : { address }
  return { client_id: client.id, ...from }
}

/** A browser has proved nothing: only a client that asks itself has authenticated. */
function askerOf(ctx: Context, { place, client, caller }: ProofPlace): Pick<Recorder, 'clock' | 'actor'> {
  if (place === 'client') return byClient(ctx, client.id, caller)
  const { address, requestId } = caller
  return { clock: ctx.clock, actor: { kind: 'nobody', caller: { address, requestId } } }
}

/** A token for the next log-in at this place and on this device. */
export function newDeviceToken(
  ctx: Context,
  logIn: Pick<LogIn, 'place' | 'client'>,
  user: UserTable,
): string {
  return sealDeviceToken(ctx.rootKeys, user, { place: placeName(ctx, logIn), now: ctx.clock.now() })
}

/** All pages of an issuer are one place. No client has a name with spaces. */
function placeName({ config }: Context, { place, client }: Pick<LogIn, 'place' | 'client'>): string {
  return place === 'client' ? client.id : `pages of ${config.issuer}`
}

/**
 * Tells the device apart, if it has a token of this user, and by which name its guesses count: the same,
 * whichever of the user's own was typed. Looks the user up only for a token made here.
 */
async function ownDevice(
  ctx: Context,
  logIn: LogIn,
): Promise<{ readonly device: string; readonly username: string } | undefined> {
  const token = deviceTokenOf(ctx, logIn)
  const user = token && (await findUser(ctx.db, logIn.username))
  if (!user) return undefined
  const device = deviceOfUser(ctx, logIn, user)
  return device === undefined ? undefined : { device, username: comparedName(user.username) }
}

/** Tells the device of a user apart who is known. */
export function deviceOfUser(ctx: Context, at: DevicePlace, user: DeviceOwner): string | undefined {
  const token = deviceTokenOf(ctx, at)
  return token && isOwner(user, token) ? token.device : undefined
}

type DevicePlace = Pick<LogIn, 'place' | 'client' | 'deviceToken'>

function deviceTokenOf(ctx: Context, at: DevicePlace): DeviceToken | undefined {
  const { deviceToken = '' } = at
  return openDeviceToken(ctx.rootKeys, deviceToken, { place: placeName(ctx, at), now: ctx.clock.now() })
}

/** The user's known sources after this log-in; undefined when they are the same as before. */
export async function sourcesAfter(
  ctx: Context,
  { username, caller }: Pick<LogIn, 'username' | 'caller'>,
): Promise<Buffer | undefined> {
  if (caller.source === undefined) return undefined
  const [key] = sourceKeys(ctx)
  if (!key) throw new Error('unreachable: the current root key is there')
  const known = await findKnownSources(ctx.db, username)
  return learnSource(known, { source: caller.source, key, now: ctx.clock.now() })
}

async function comesFromKnownSource(ctx: Context, { username, caller }: LogIn): Promise<boolean> {
  if (caller.source === undefined) return false
  const known = await findKnownSources(ctx.db, username)
  return isKnownSource(known, { source: caller.source, keys: sourceKeys(ctx), now: ctx.clock.now() })
}

/** Of all root keys, the current one first: a source stays known when another root key takes over. */
function sourceKeys({ rootKeys }: Context): readonly Buffer[] {
  const ids = new Set([rootKeys.currentId, ...rootKeys.ids])
  return [...ids].map(id => rootKeys.derive('known-source', id)).filter(key => key !== undefined)
}

/**
 * Older parameters, or an older root key: the next hash has the present ones. It can wait for a quieter time.
 */
async function renewHash(
  { users: { passwords }, db, log }: Context,
  user: UserTable,
  password: string,
): Promise<void> {
  if (!passwords.needsRehash(user) || passwords.load().waiting > 0) return
  try {
    await rehashPassword(db, user, await passwords.hash(password))
  } catch (error) {
    log.warn({ err: error }, 'a password could not be hashed anew, which the next log-in does')
  }
}
