import { raiseClientEpochTo } from '../../db/clients/clients.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type { Ending } from '../../db/sessions/endings.ts'
import { revokeSessions } from '../../db/sessions/pages.ts'
import { findUserById, raiseUserEpochTo } from '../../db/users/users.ts'
import { revokeKey, type EmergencyOptions } from '../keys/ring/emergency.ts'
import { algsWanted } from '../keys/ring/key-policy.ts'
import type { RootKeyFile } from '../keys/root/root-key-file.ts'
import { record, type Recorder } from '../record/record.ts'
import { silentLog, type LoggedRevocation } from '../record/restore-log.ts'
import { finishEnding } from './finish.ts'
import { changesPassword, disables, type RevocationPlan } from './plan.ts'
import { endAllWithKeys } from './restart.ts'

export interface Replayed {
  /** How many sessions have ended once more. */
  sessions: number
  /**
   * Names and ids that are disabled now, also of those that had been deleted: an administrator has to delete
   * them again.
   */
  readonly usersDisabled: Set<string>
  readonly clientsDisabled: Set<string>
  /** Names whose password was changed since: the one before is good again. */
  readonly oldPasswords: Set<string>
  readonly keys: Set<string>
}

/** Who does it in the restored database, and the file of its root keys. */
export interface ReplayOptions extends Omit<EmergencyOptions, 'by' | 'reason'> {
  readonly by: Recorder
  readonly file: RootKeyFile
  /** Makes a new root key where one is needed, and returns its id; without it, one is put into the file. */
  readonly addRootKey?: () => string
}

/**
 * Does to a database that has gone back in time what was revoked after that, as planned. It may be done any
 * number of times, also with what the database knows already: that changes nothing. The log is told nothing:
 * it has told all of it.
 */
export async function replayRevocations(
  options: ReplayOptions,
  { revocations }: Pick<RevocationPlan, 'revocations'>,
  onProgress: (done: number) => void,
): Promise<Replayed> {
  const replayed: Replayed = {
    sessions: 0,
    usersDisabled: new Set(),
    clientsDisabled: new Set(),
    oldPasswords: new Set(),
    keys: new Set(),
  }
  let done = 0
  const quiet = { ...options, by: { ...options.by, log: silentLog } }
  for (const revocation of revocations) {
    await replay(quiet, revocation, replayed)
    onProgress(++done)
  }
  return replayed
}

async function replay(
  options: ReplayOptions,
  revocation: LoggedRevocation,
  replayed: Replayed,
): Promise<void> {
  const { by } = options
  const { at, reason } = revocation
  const end = { now: at, reason }
  const detail = { reason, at, replayed: true } as const
  const finish = async (ending: Ending) => {
    replayed.sessions += (await finishEnding(by.db, ending, { clock: by.clock })).ended
  }
  switch (revocation.event) {
    case 'session_revoked':
    case 'sessions_revoked': {
      const sids = 'sid' in revocation ? [revocation.sid] : revocation.sids
      const ended = await record(
        by,
        (ended: readonly Buffer[]) =>
          ended.map(sessionId => ({ event: 'session_revoked' as const, sessionId, detail })),
        db => revokeSessions(db, sids, end),
      )
      replayed.sessions += ended.length
      return
    }
    case 'user_revoked': {
      const { sub, epoch } = revocation
      const isDisabled = disables(revocation)
      const event = { event: 'user_revoked', userId: sub, detail } as const
      const ending = await record(by, event, db => raiseUserEpochTo(db, sub, { epoch, isDisabled }, end))
      if (!ending) return
      await finish(ending)
      const user = await findUserById(by.db, sub)
      if (user && isDisabled) replayed.usersDisabled.add(user.username)
      if (user && changesPassword(revocation)) replayed.oldPasswords.add(user.username)
      return
    }
    case 'client_revoked': {
      const { clientId, epoch } = revocation
      const isDisabled = disables(revocation)
      const ending = await record(by, { event: 'client_revoked', clientId, detail }, db =>
        raiseClientEpochTo(db, clientId, { epoch, isDisabled }, end),
      )
      if (!ending) return
      await finish(ending)
      if (isDisabled) replayed.clientsDisabled.add(clientId)
      return
    }
    case 'key_revoked':
      if (await revokeKey({ ...options, reason }, revocation.kid)) replayed.keys.add(revocation.kid)
      return
    case 'all_keys_revoked':
      return replayRestart(options, revocation, replayed)
  }
}

/** Everything began anew after the backup was made: it does so again, unless the backup is of after that. */
async function replayRestart(
  options: ReplayOptions,
  { reason, kids, rootKeyFrom, rootKeyTo }: LoggedRevocation & { readonly event: 'all_keys_revoked' },
  replayed: Replayed,
): Promise<void> {
  const { db } = options.by
  const living = (await listSigningKeys(db)).filter(key => key.revoked_at === null)
  if (!living.some(key => kids.includes(key.kid))) return
  const algs = algsWanted(await listUsedAlgs(db))
  const keepsRootKey = rootKeyFrom === rootKeyTo
  const { revoked, ended } = await endAllWithKeys({ ...options, reason, keepsRootKey, algs })
  for (const { kid } of revoked) replayed.keys.add(kid)
  replayed.sessions += ended
}
