import type { SweeperTable } from '../../db/schema.ts'
import { formatCount, formatTime } from '../values/formats.ts'

/** Says how far the sweeper has come, or how its last round went. */
export function sweeperSentence({
  cursor,
  began_at,
  passed_at,
  examined,
  swept,
  swept_ever,
}: SweeperTable): string {
  const ever = `${formatCount(swept_ever, 'session')} deleted so far`
  const found = `${formatCount(examined, 'session')} looked at and ${swept.toLocaleString('en-US')} deleted`
  if (cursor !== null) return `Since ${formatTime(began_at)} a server has ${found}, and goes on; ${ever}.`
  if (passed_at === null) return 'No server has looked for such sessions yet.'
  return `At ${formatTime(passed_at)} a server had ${found}; ${ever}.`
}
