import { latestSessionId } from '../../../db/sessions/pages.ts'
import type { InstallationAdmin } from '../admin.ts'
import { formatTime } from '../../values/formats.ts'
import type { Examination, Finding } from './finding.ts'

/** The newest session tells when it began; the clock must not be before that. */
export async function checkClock(
  { db, installation }: InstallationAdmin,
  { clock }: Examination,
): Promise<Finding[]> {
  const latest = Math.max(installation.created_at, beginningOf(await latestSessionId(db)))
  const behind = latest - clock.now()
  if (behind <= installation.clock_skew_seconds)
    return [{ verdict: 'ok', text: `it is ${formatTime(clock.now())}` }]
  return [
    {
      verdict: 'problem',
      text: `it is ${formatTime(clock.now())} by this clock, but the database has seen ${formatTime(latest)}`,
      advice: 'set the clock, and keep it right with NTP: until then tokens may be refused as not yet valid',
    },
  ]
}

/** The time in a UUIDv7 (RFC 9562 §5.7), in seconds. */
function beginningOf(id: Buffer | undefined): number {
  return id ? Math.floor(id.readUIntBE(0, 6) / 1000) : 0
}
