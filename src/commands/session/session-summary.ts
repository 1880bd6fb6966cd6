import type { Database } from '../../../db/database.ts'
import { summarizeSessions, type SessionCounts } from '../../../db/sessions/summary.ts'
import { countPages, readSweeper } from '../../../db/sessions/sweeper.ts'
import { sweeperSentence } from '../../admin/sweeper.ts'
import { keepSeconds } from '../../jobs/sweeper.ts'
import { formatDuration } from '../../values/duration.ts'
import type { Run } from '../shell/command.ts'
import { table, type TextAnswer } from '../shell/output.ts'
import { openProgress } from '../shell/progress.ts'

/** How many sessions there are of each client and in each state, and what the sweeper has done. */
export async function summarize(run: Run, db: Database): Promise<TextAnswer> {
  const now = run.clock.now()
  const progress = openProgress(run, 'session')
  const clients = await summarizeSessions(db, { now, endedBy: now - keepSeconds }, progress.at)
  progress.end()
  const sweeper = await readSweeper(db)
  const total = (state: 'living' | 'expired' | 'revoked' | 'waiting') =>
    clients.reduce((sum, counts) => sum + counts[state], 0)
  const all = {
    living: total('living'),
    expired: total('expired'),
    revoked: total('revoked'),
    waiting: total('waiting'),
  }
  const cellsOf = (name: string, { living, expired, revoked }: Omit<SessionCounts, 'client_id'>) =>
    [name, living, expired, revoked].map(cell => cell.toLocaleString('en-US'))
  const rows = clients.map(counts => cellsOf(counts.client_id, counts))
  return {
    text: [
      table(['CLIENT_ID', 'LIVING', 'EXPIRED', 'REVOKED'], [...rows, cellsOf('(all)', all)]),
      '',
      `Those that have ended are deleted ${formatDuration(keepSeconds)} later; ${all.waiting.toLocaleString('en-US')} of them are due.`,
      sweeperSentence(sweeper),
    ].join('\n'),
    json: {
      sessions: all,
      clients,
      sweeper: {
        passed_at: sweeper.passed_at,
        began_at: sweeper.began_at,
        examined: sweeper.examined,
        swept: sweeper.swept,
        swept_ever: sweeper.swept_ever,
      },
      ...(db.engine === 'sqlite' && { database: await countPages(db) }),
      counted_at: now,
    },
  }
}
