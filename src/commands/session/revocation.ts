import type { Config } from '../../config/load.ts'
import { endChosenSessions } from '../../endings/end-chosen.ts'
import { endAllSessions, endSessionsOfClient, endSessionsOfUser } from '../../endings/end.ts'
import type { Recorder } from '../../record/record.ts'
import { formatDuration } from '../../values/duration.ts'
import { counted } from '../../values/formats.ts'
import type { Run } from '../shell/command.ts'
import { showEnding, showWork } from '../shell/ending.ts'
import { CommandError } from '../shell/failures.ts'
import type { Chosen } from './session-choice.ts'

/** When resource servers learn of it, for people. */
export function noticeOf({ statusListDelaySeconds, accessTokenSeconds }: Config): string {
  return (
    'Their access tokens are refused by introspection now, where the status list is followed within ' +
    `${formatDuration(statusListDelaySeconds)}, and elsewhere when they run out (${formatDuration(accessTokenSeconds)}).`
  )
}

/**
 * Ends the chosen sessions, and returns how many. All of a user, of a client, or all there are end at once, by an epoch,
 * which also stops log-ins that are under way; any others one after the other.
 */
export async function revokeChosen(
  run: Run,
  by: Recorder,
  { filter }: Chosen,
  total: number,
): Promise<number> {
  const { userId, clientId, ...more } = filter
  const isMore = Object.keys(more).length > 0
  if (!isMore && userId && clientId === undefined) {
    const done = await showEnding(run, to => endSessionsOfUser(by, userId, { reason: 'command' }, to), total)
    if (!done) throw new CommandError('the user has just been deleted, which has ended all sessions')
    return done.ended
  }
  if (!isMore && !userId) {
    const done = await showEnding(
      run,
      to =>
        clientId === undefined
          ? endAllSessions(by, 'command', to)
          : endSessionsOfClient(by, clientId, 'command', to),
      total,
    )
    return done?.ended ?? 0
  }
  const { ended, isDone } = await showWork(run, total, to => endChosenSessions(by, filter, { total, ...to }))
  if (isDone) return ended
  throw new CommandError(
    `stopped: ${ended.toLocaleString('en-US')} of ${counted(total, 'session')} have ended; run it again for the rest`,
  )
}
