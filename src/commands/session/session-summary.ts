import type { Admin } from '../../admin/admin.ts'
import { summarizeSessions } from '../../admin/sessions.ts'
import { sweeperSentence } from '../../admin/sweeper.ts'
import { keepSeconds } from '../../sessions/retention.ts'
import { formatDuration } from '../../values/duration.ts'
import type { Run } from '../shell/command.ts'
import { table, type TextAnswer } from '../shell/output.ts'
import { openProgress } from '../shell/progress.ts'

/** A table of the clients, and what the sweeper has done. */
export async function summarize(run: Run, admin: Admin): Promise<TextAnswer> {
  const progress = openProgress(run, 'session')
  const { all, clients, sweeper, document } = await summarizeSessions(admin, progress.at).finally(
    progress.end,
  )
  const cellsOf = (name: string, { living, expired, revoked }: typeof all) =>
    [name, living, expired, revoked].map(cell => cell.toLocaleString('en-US'))
  const rows = clients.map(counts => cellsOf(counts.client_id, counts))
  return {
    text: [
      table(['CLIENT_ID', 'LIVING', 'EXPIRED', 'REVOKED'], [...rows, cellsOf('(all)', all)]),
      '',
      `Those that have ended are deleted ${formatDuration(keepSeconds)} later; ${all.waiting.toLocaleString('en-US')} of them are due.`,
      sweeperSentence(sweeper),
    ].join('\n'),
    json: document,
  }
}
