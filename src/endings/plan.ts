import { findClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import type { EndReason } from '../../db/sessions/end-reasons.ts'
import { findUserById } from '../../db/users/users.ts'
import type { LoggedRevocation } from '../record/restore-log.ts'

/** A plan of all that logs tell a database that has gone back in time. */
export interface RevocationPlan {
  /** All that may still have an effect, in the order in which it is to be done. */
  readonly revocations: readonly LoggedRevocation[]
  /** How many tell of what cannot have happened. */
  readonly implausible: number
  // Beyond the end of sessions: the names and ids of users, clients and keys that it disables or revokes.
  readonly usersDisabled: readonly string[]
  readonly clientsDisabled: readonly string[]
  readonly keys: readonly string[]
  /** Whether all begins anew: new signing keys, and a new root key unless that was kept. */
  readonly beginsAnew: boolean
}

/** How often an epoch may have been raised since the backup: each takes a command of an administrator. */
const raisesMax = 1000

/** How far ahead the clock may have been by which a line was written, before it was set back: seconds. */
const aheadMaxSeconds = 86_400

/** Looks what of the revocations the database does not know yet, and changes nothing. */
export async function planRevocations(
  db: Database,
  revocations: readonly LoggedRevocation[],
  now: number,
): Promise<RevocationPlan> {
  const living = (await listSigningKeys(db)).filter(key => key.revoked_at === null).map(({ kid }) => kid)
  const [users, clients, keys] = [new Set<string>(), new Set<string>(), new Set<string>()]
  const wanted: LoggedRevocation[] = []
  let implausible = 0
  let beginsAnew = false
  const isPlausible = (to: number, from: number) => to - from <= raisesMax
  const epochOf = (revocation: LoggedRevocation) => ('epoch' in revocation ? revocation.epoch : 0)

  const judge = async (revocation: LoggedRevocation): Promise<'done' | 'wanted' | 'implausible'> => {
    if (revocation.at > now + aheadMaxSeconds) return 'implausible'
    switch (revocation.event) {
      case 'session_revoked':
      case 'sessions_revoked':
        return 'wanted'
      case 'user_revoked': {
        const user = await findUserById(db, revocation.sub)
        if (!user || user.epoch >= revocation.epoch) return 'done'
        if (!isPlausible(revocation.epoch, user.epoch)) return 'implausible'
        if (disables(revocation) && user.disabled_at === null) users.add(user.username)
        return 'wanted'
      }
      case 'client_revoked': {
        const client = await findClient(db, revocation.clientId)
        // One that was made after what was logged is another client of the same id.
        if (!client || client.epoch >= revocation.epoch || client.created_at > revocation.at) return 'done'
        if (!isPlausible(revocation.epoch, client.epoch)) return 'implausible'
        if (disables(revocation) && client.disabled_at === null) clients.add(client.id)
        return 'wanted'
      }
      case 'key_revoked':
        if (!living.includes(revocation.kid)) return 'done'
        keys.add(revocation.kid)
        return 'wanted'
      case 'all_keys_revoked':
        if (!living.some(kid => revocation.kids.includes(kid))) return 'done'
        beginsAnew = true
        for (const kid of living) keys.add(kid)
        return 'wanted'
    }
  }

  // An earlier epoch is of no effect after a later one, and may have done more.
  for (const revocation of revocations.toSorted((a, b) => epochOf(a) - epochOf(b))) {
    const verdict = await judge(revocation)
    if (verdict === 'wanted') wanted.push(revocation)
    if (verdict === 'implausible') implausible++
  }
  return {
    revocations: wanted,
    implausible,
    usersDisabled: [...users],
    clientsDisabled: [...clients],
    keys: [...keys],
    beginsAnew,
  }
}

const disabling: ReadonlySet<string> = new Set<EndReason>([
  'user disabled',
  'user deleted',
  'client disabled',
  'client deleted',
])

/** Whether a user or client was disabled by it, or deleted: an administrator has to delete them again. */
export function disables({ reason }: LoggedRevocation): boolean {
  return disabling.has(reason)
}

/** Whether the password was another one before. */
export function changesPassword({ reason }: LoggedRevocation): boolean {
  return reason === ('password changed' satisfies EndReason)
}

const withoutMore: EndReason = 'ended again'

/** The same plan without what is more than the end of sessions. */
export function sessionsAlone(plan: RevocationPlan): RevocationPlan {
  return {
    ...plan,
    revocations: plan.revocations
      .filter(({ event }) => event !== 'key_revoked' && event !== 'all_keys_revoked')
      .map(revocation => (disables(revocation) ? { ...revocation, reason: withoutMore } : revocation)),
    usersDisabled: [],
    clientsDisabled: [],
    keys: [],
    beginsAnew: false,
  }
}
