import { forgetLost, markAsBackup, reviveBackup } from '../../../db/backups/restored.ts'
import { endAllSessions } from '../../endings/end.ts'
import { unusedPosition } from '../../endings/restored.ts'
import { Refusal } from '../../errors.ts'
import { record } from '../../record/record.ts'
import { formatTime } from '../../values/formats.ts'
import type { InstallationAdmin } from '../admin.ts'
import { describeReplayed, planFromLogs, replay } from './logs.ts'
import type { Restored } from './restore.ts'
import { isDecided, type Choice, type Talk } from './talk.ts'

export interface Revived extends Pick<Restored, 'replayed' | 'sessionsEnded'> {
  /** When the backup was made, in seconds since the epoch, if that is known. */
  readonly madeAt: number | undefined
}

/**
 * Revokes again what a database that has gone back in time does not know of. Servers may run during it.
 * `madeAt` is when the backup was made, in seconds since the epoch. Throws `Refusal` without a choice.
 */
export async function reviveDatabase(
  admin: InstallationAdmin,
  talk: Talk,
  { madeAt: givenMadeAt, ...choice }: Choice & { readonly madeAt?: number | undefined },
): Promise<Revived> {
  const { db, rootKeys, config, installation, clock, log } = admin
  const madeAt = givenMadeAt ?? installation.backed_up_at ?? undefined
  const since = madeAt ?? installation.lost_since ?? undefined
  if (!choice.logs && !isDecided(choice)) {
    throw new Refusal(
      'invalid',
      `what was revoked ${since === undefined ? 'since the backup' : `after ${formatTime(since)}`} lives again. ` +
        'Nothing was changed. Say what to do: --revocations LOG revokes it again, as the logs of servers and commands ' +
        'tell; --accept-unrevoked lets it live; --end-sessions ends all sessions',
    )
  }
  const plan = await planFromLogs(talk, db, choice, { madeAt: since, now: clock.now() })
  const replayed = plan && (await replay(talk, { by: admin, rootKeys, file: config }, plan))
  const ended = choice.endSessions ? await talk.showEnding(to => endAllSessions(admin, 'restored', to)) : null
  await makeFit(admin, madeAt)
  log.warn(
    { event: 'database_revived', made_at: madeAt, ...(replayed && describeReplayed(replayed)) },
    'what was lost with a database that had gone back in time was seen to',
  )
  return { madeAt, replayed, sessionsEnded: ended && ended.ended }
}

/** The document of it. */
export function describeRevived({ madeAt, replayed, sessionsEnded }: Revived) {
  return {
    made_at: madeAt ?? null,
    sessions_ended: sessionsEnded,
    ...(replayed && { replayed: describeReplayed(replayed) }),
  }
}

/** Makes the database like any other. Needed once. */
async function makeFit(admin: InstallationAdmin, madeAt: number | undefined): Promise<void> {
  const { db, installation } = admin
  const now = admin.clock.now()
  const event = { event: 'database_restored', detail: { made_at: madeAt, revived: true } } as const
  // A revival after the backup was made has given the database its time back.
  if (madeAt === undefined || (installation.revived_at !== null && installation.revived_at > madeAt)) {
    return record(admin, event, writer => forgetLost(writer, now))
  }
  await markAsBackup(db, madeAt)
  const nextPosition = await unusedPosition(db)
  const revival = { madeAt, now, nextPosition, isSeenTo: true, hasServed: true }
  await record(admin, event, writer => reviveBackup(writer, revival))
}
