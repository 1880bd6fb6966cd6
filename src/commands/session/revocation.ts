import { raiseClientEpochs } from '../../../db/clients/clients.ts'
import type { Database } from '../../../db/database.ts'
import type { Ending, RaisedClient } from '../../../db/sessions/endings.ts'
import {
  listSessions,
  revokeSessions,
  type ListedSession,
  type SessionFilter,
} from '../../../db/sessions/pages.ts'
import { raiseUserEpoch } from '../../../db/users/users.ts'
import { audited } from '../../../db/writer.ts'
import type { Progress } from '../../admin/progress.ts'
import type { Config } from '../../config/load.ts'
import { finishEnding, type FinishedWork } from '../../endings/finish.ts'
import { formatUuid } from '../../protocol/secrets.ts'
import { logRevocation } from '../../record/log-revocation.ts'
import { formatDuration } from '../../values/duration.ts'
import { counted } from '../../values/formats.ts'
import type { Run } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { openProgress } from '../shell/progress.ts'
import type { Chosen } from './session-choice.ts'

/**
 * Writes the end of each session that a raised epoch has ended, from which those learn of it who follow the status
 * lists; how many there were. They have ended in any case: what is interrupted here, a server finishes.
 */
export async function writeEnds(run: Run, db: Database, ending: Ending, total?: number): Promise<number> {
  const { ended, isDone } = await watched(run, total, (signal, progress) =>
    finishEnding(db, ending, { clock: run.clock, signal, onProgress: progress.at }),
  )
  if (isDone) return ended
  throw new CommandError(
    `stopped: all of them have ended, but the status lists tell of ${ended.toLocaleString('en-US')} so far; ` +
      'a server that runs tells of the rest by itself, or run it again',
  )
}

/** Shows how far the work has come. A signal ends it after the step that is under way. */
async function watched(
  run: Run,
  total: number | undefined,
  work: (signal: AbortSignal, progress: Progress) => Promise<FinishedWork>,
): Promise<FinishedWork> {
  const progress = openProgress(run, 'session', total)
  const stopping = new AbortController()
  const giveBack = run.onSignal(() => stopping.abort())
  try {
    return await work(stopping.signal, progress)
  } finally {
    giveBack()
    progress.end()
  }
}

/** Ends all sessions of a database that serves nobody meanwhile; those whose epoch was raised for it, for the log. */
export async function endAllSessions(
  run: Run,
  db: Database,
  end: { readonly reason: string; readonly now: number },
): Promise<{ readonly ended: number; readonly clients: readonly RaisedClient[] }> {
  const trail = audited(db, run.entry('client_revoked', { detail: { all: true, reason: end.reason } }))
  const { clients, ending } = await raiseClientEpochs(trail, undefined, end)
  return { ended: await writeEnds(run, db, ending), clients }
}

/** When resource servers learn of it, for people. */
export function noticeOf({ statusListDelaySeconds, accessTokenSeconds }: Config): string {
  return (
    'Their access tokens are refused by introspection now, where the status list is followed within ' +
    `${formatDuration(statusListDelaySeconds)}, and elsewhere when they run out (${formatDuration(accessTokenSeconds)}).`
  )
}

/** Why a session ended, in its row and in the log. */
const reason = 'command'

/**
 * Ends the chosen sessions, and returns how many. All of a user, of a client, or all there are end at once, by an epoch,
 * which also stops log-ins that are under way; any others one after the other.
 */
export async function revokeChosen(run: Run, db: Database, chosen: Chosen, total: number): Promise<number> {
  const { filter } = chosen
  const narrowing = Object.keys(filter).join(' ')
  const end = { now: run.clock.now(), reason }
  const audit = { reason, at: end.now }
  if (narrowing === 'userId' && filter.userId) {
    const entry = run.entry('user_revoked', { userId: filter.userId })
    const ending = await raiseUserEpoch(audited(db, entry), filter.userId, end)
    if (!ending) throw new CommandError('the user has just been deleted, which has ended all sessions')
    const { epoch } = ending
    logRevocation(run.log, { event: 'user_revoked', sub: formatUuid(filter.userId), epoch }, audit)
    return writeEnds(run, db, ending, total)
  }
  if (narrowing === 'clientId' || narrowing === '') {
    const entry = run.entry('client_revoked', {
      clientId: filter.clientId,
      detail: { all: narrowing === '' },
    })
    const { clients, ending } = await raiseClientEpochs(audited(db, entry), filter.clientId, end)
    for (const { id: client_id, epoch } of clients) {
      logRevocation(run.log, { event: 'client_revoked', client_id, epoch }, audit)
    }
    return writeEnds(run, db, ending, total)
  }
  const { ended, isDone } = await watched(run, total, (signal, progress) =>
    revokeOneByOne(run, db, filter, { end, total, signal, progress }),
  )
  if (isDone) return ended
  throw new CommandError(
    `stopped: ${ended.toLocaleString('en-US')} of ${counted(total, 'session')} have ended; run it again for the rest`,
  )
}

/** How many are ended in one transaction: few enough that nobody waits for it. */
const batchSize = 200

/** With more, the log has a line for each batch, not for each session. */
const linesMax = 1000

interface OneByOne {
  readonly end: { readonly now: number; readonly reason: string }
  readonly total: number
  readonly signal: AbortSignal
  readonly progress: Progress
}

/** Rests after each batch as long as it took. */
async function revokeOneByOne(
  { log, entry, clock }: Run,
  db: Database,
  filter: SessionFilter,
  { end, total, signal, progress }: OneByOne,
): Promise<FinishedWork> {
  let ended = 0
  let batch: ListedSession[] = []
  const entriesOf = (revoked: unknown) =>
    batch
      .filter(({ id }) => (revoked as readonly Buffer[]).some(other => other.equals(id)))
      .map(({ id, user_id, client_id }) =>
        entry('session_revoked', {
          sessionId: id,
          userId: user_id,
          clientId: client_id,
          detail: { reason: end.reason },
        }),
      )
  const flush = async () => {
    if (batch.length === 0) return
    const startedAt = clock.steady()
    const revoked = await revokeSessions(
      audited(db, entriesOf),
      batch.map(({ id }) => id),
      end,
    )
    const sids = revoked.map(formatUuid)
    batch = []
    ended += sids.length
    const audit = { reason, at: end.now }
    progress.end()
    if (total > linesMax) logRevocation(log, { event: 'sessions_revoked', sids }, audit)
    else for (const sid of sids) logRevocation(log, { event: 'session_revoked', sid }, audit)
    progress.at(ended)
    await clock.pause(clock.steady() - startedAt)
  }
  for await (const session of listSessions(db, { ...filter, livingAt: end.now })) {
    batch.push(session)
    if (batch.length === batchSize) await flush()
    if (signal.aborted) return { ended, isDone: false }
  }
  await flush()
  return { ended, isDone: true }
}
