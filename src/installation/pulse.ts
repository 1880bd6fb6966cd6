import type { Database } from '../../db/database.ts'
import { readPulse, type Pulse } from '../../db/installation/pulse.ts'
import type { DatabaseClock } from '../clock.ts'

/** Reads the pulse of the database, and sets the clock to its server's, if it has one. */
export async function askPulse(db: Database, clock: DatabaseClock): Promise<Pulse> {
  const askedAt = clock.steady()
  const pulse = await readPulse(db)
  if (pulse.clock_ms !== null) clock.adjust(pulse.clock_ms / 1000, askedAt)
  return pulse
}
