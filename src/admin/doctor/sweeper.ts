import { readSweeper } from '../../../db/sessions/sweeper.ts'
import type { InstallationAdmin } from '../admin.ts'
import { keepSeconds } from '../../sessions/retention.ts'
import { sweeperSentence } from '../sweeper.ts'
import type { Examination, Finding } from './finding.ts'

/** Much longer than a pass takes. */
const overdueSeconds = 2 * 86_400

/** Sessions that have ended are deleted by running servers, or the database grows without end. */
export async function checkSweeper(
  { db, installation }: InstallationAdmin,
  { clock }: Examination,
): Promise<Finding[]> {
  const sweeper = await readSweeper(db)
  const text = sweeperSentence(sweeper)
    .replace(/^./, letter => letter.toLowerCase())
    .replace(/\.$/, '')
  if (clock.now() - (sweeper.passed_at ?? installation.created_at + keepSeconds) < overdueSeconds) {
    return [{ verdict: 'ok', text }]
  }
  return [
    {
      verdict: 'warning',
      text,
      advice:
        'nobody deletes the sessions that have ended: start a server, and look into its log for the sweeper',
    },
  ]
}
