import type { Database } from '../../db/database.ts'
import type { Admin } from './admin.ts'
import { describeFindings, examineServed } from './doctor/examine.ts'

/** How long an examination is as good as a new one: it writes a row, and asks for its own metadata. */
const keptSeconds = 10

type Health = ReturnType<typeof describeFindings> & { readonly checked_at: number }

const kept = new WeakMap<Database, { readonly at: number; readonly health: Promise<Health> }>()

/** What `mintmark doctor` says, but for what takes long: of the last ten seconds, and once for all. */
export async function readHealth(admin: Admin): Promise<Health> {
  const { db, clock } = admin
  const at = clock.steady()
  const last = kept.get(db)
  if (last && at - last.at < keptSeconds) return last.health
  const health = examineServed(admin).then(findings => ({
    checked_at: clock.now(),
    ...describeFindings(findings),
  }))
  kept.set(db, { at, health })
  return health
}
