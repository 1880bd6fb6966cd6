import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type { SigningKeyTable } from '../../db/schema.ts'
import type { EndOptions } from '../endings/end.ts'
import type { FinishedWork } from '../endings/finish.ts'
import { endAllWithKeys } from '../endings/restart.ts'
import { Refusal } from '../errors.ts'
import { revokeKey as revokeOfRing, type KeyRevocation } from '../keys/ring/emergency.ts'
import { phaseOf } from '../keys/ring/key-life.ts'
import { algsWanted, largestMaxAgeOf } from '../keys/ring/key-policy.ts'
import { followBoundSeconds } from '../protocol/key-lead.ts'
import { isShownText } from '../values/shown-text.ts'
import type { Admin, InstallationAdmin } from './admin.ts'
import { countPasswords, countTotps, type RootKeyCounts } from './root-key-counts.ts'
import { readPlannedRing, type PlannedRing } from './planned-ring.ts'

/** The one living key whose kid begins so. Refuses where there is none, or more than one. */
export async function findKey(admin: Admin, prefix: string): Promise<Pick<SigningKeyTable, 'kid' | 'alg'>> {
  const { rows } = await readPlannedRing(admin)
  const living = rows.filter(row => phaseOf(row) !== 'revoked')
  const found = living.filter(row => row.kid.startsWith(prefix))
  const [only] = found
  if (only && found.length === 1) return only
  if (found.length > 1) {
    throw new Refusal('invalid', `${found.length} keys begin like that`, 'give more of the kid')
  }
  throw noLivingKey(rows.some(row => row.kid.startsWith(prefix)))
}

function noLivingKey(wasRevoked: boolean): Refusal {
  return wasRevoked
    ? new Refusal('conflict', 'that key was revoked before', '`mintmark key list` shows when it is forgotten')
    : new Refusal(
        'not_found',
        'there is no such key',
        '`mintmark key list` shows all. One that is gone verifies nothing any more',
      )
}

/** The greatest length of a reason, in characters. */
export const reasonLengthMax = 200

/** A key that was revoked, and what follows for verifiers. Times are seconds since the epoch. */
export interface RevokedKey extends KeyRevocation {
  readonly reason: string
  /** For how many seconds a verifier may keep a key set. */
  readonly maxAge: number
  /** When verifiers that keep a key set no longer than they may have forgotten the key. */
  readonly forgottenAt: number
  /** Until when some of them may not know the successor; null when all do. */
  readonly successorUnknownUntil: number | null
}

/** Revokes one key at once; the next one signs. Sessions live on. `kid` is whole. */
export async function revokeKey(admin: Admin, kid: string, reason: string): Promise<RevokedKey> {
  if (!isShownText(reason, reasonLengthMax)) {
    const takes = `up to ${reasonLengthMax} characters, none of them invisible, and no space at the ends`
    throw new Refusal('invalid', `a reason has ${takes}`, undefined, 'reason')
  }
  const ring = await readPlannedRing(admin)
  const row = ring.rows.find(other => other.kid === kid)
  if (!row || phaseOf(row) === 'revoked') throw noLivingKey(row !== undefined)
  const revoked = await revokeOfRing({ by: admin, rootKeys: admin.rootKeys, reason }, kid)
  if (!revoked) throw new Refusal('conflict', `another process has just revoked ${kid}`)
  const now = admin.clock.now()
  const maxAge = largestMaxAgeOf(ring.installation, now)
  return {
    ...revoked,
    reason,
    maxAge,
    forgottenAt: now + followBoundSeconds + maxAge,
    successorUnknownUntil: revoked.successor ? whenKnown(ring, revoked, now) : null,
  }
}

/** Until when some verifier that keeps to the max-age may not know the successor; null when all do. */
function whenKnown({ rows, installation }: PlannedRing, { successor }: KeyRevocation, now: number) {
  const witnessed = rows.find(row => row.kid === successor?.kid)?.witnessed_seconds ?? 0
  const needed = largestMaxAgeOf(installation, now) + followBoundSeconds
  return witnessed >= needed ? null : now + needed - witnessed
}

/** All keys that were revoked, with every session. Times are seconds since the epoch. */
export interface Restarted extends FinishedWork {
  readonly reason: string
  /** The kids of the keys that were revoked, and of those that sign from now on. */
  readonly revoked: readonly string[]
  readonly keys: readonly string[]
  /** At the most so many tokens live that are refused from now on. */
  readonly tokens: number
  readonly rootKey: { readonly from: string; readonly to: string }
  /** For how many seconds a verifier may keep a key set. */
  readonly maxAge: number
  /** Until when some verifiers may refuse the tokens of the new keys. */
  readonly failUntil: number
  /** Older ones are told only where the root key has changed. */
  readonly passwords: Pick<RootKeyCounts, 'older' | 'lost'>
  readonly totps: Pick<RootKeyCounts, 'older' | 'lost'>
}

/**
 * Revokes every signing key and, unless it is known to be safe, the root key, and ends every session. The
 * root key that the database is under need not be there.
 */
export async function revokeAllKeys(
  admin: InstallationAdmin,
  { reason, keepsRootKey }: { readonly reason: string; readonly keepsRootKey: boolean },
  options: EndOptions,
): Promise<Restarted> {
  const { db, rootKeys, config, installation } = admin
  const algs = algsWanted(await listUsedAlgs(db))
  const order = { by: admin, rootKeys, file: config, reason, keepsRootKey, algs }
  const done = await endAllWithKeys(order, options)
  const maxAge = largestMaxAgeOf(installation, done.at)
  const passwords = await countPasswords(admin, done.to)
  const totps = await countTotps(admin, done.to)
  const told = ({ older, lost }: RootKeyCounts) => ({ older: keepsRootKey ? 0 : older, lost })
  return {
    reason,
    ended: done.ended,
    isDone: done.isDone,
    revoked: done.revoked.map(({ kid }) => kid),
    keys: done.keys.map(({ kid }) => kid),
    tokens: done.tokens,
    rootKey: { from: done.from, to: done.to },
    maxAge,
    failUntil: done.at + followBoundSeconds + maxAge,
    passwords: told(passwords),
    totps: told(totps),
  }
}

/** The document of a key that was revoked. */
export function describeRevokedKey(revoked: RevokedKey) {
  const { kid, alg, phase, reason, tokens, successor, forgottenAt, successorUnknownUntil } = revoked
  return {
    kid,
    alg,
    state: phase,
    reason,
    live_tokens_at_most: tokens,
    successor: successor?.kid ?? null,
    forgotten_at: forgottenAt,
    successor_unknown_until: successorUnknownUntil,
  }
}

/** The document of the end of everything. */
export function describeRestarted({
  revoked,
  keys,
  reason,
  ended,
  tokens,
  rootKey,
  failUntil,
  passwords,
  totps,
}: Restarted) {
  return {
    revoked,
    keys,
    reason,
    sessions_revoked: ended,
    live_tokens_at_most: tokens,
    root_key: rootKey,
    verifiers_may_fail_until: failUntil,
    passwords_lost: passwords.lost,
    passwords_under_older_root_keys: passwords.older,
    totps_lost: totps.lost,
    totps_under_older_root_keys: totps.older,
  }
}
