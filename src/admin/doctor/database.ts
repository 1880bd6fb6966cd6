import { findCopy } from '../../../db/copy/copy.ts'
import { readReplication, type Replication } from '../../../db/engines/replication.ts'
import { tryWriting } from '../../../db/installation/installation.ts'
import { revivalAdvice } from '../../endings/restored.ts'
import type { InstallationAdmin } from '../admin.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import type { Finding } from './finding.ts'

/** Whether it can be written, and what of it would survive the loss of a machine. */
export async function checkDatabase({ db, installation }: InstallationAdmin): Promise<Finding[]> {
  await tryWriting(db)
  const findings: Finding[] = [
    { verdict: 'ok', text: `writable, up to date, and that of ${installation.issuer} with its root key` },
  ]
  if (installation.lost_since !== null) {
    findings.push({
      verdict: 'problem',
      text: `the database has gone back in time: what was revoked after ${formatTime(installation.lost_since)} may live again`,
      advice: revivalAdvice,
    })
  }
  const replication = await readReplication(db)
  if (replication) findings.push(judgeReplication(replication), ...judgeSettings(replication))

  const copy = await findCopy(db)
  if (copy?.role === 'source') {
    findings.push({
      verdict: 'warning',
      text: `a copy to another database was begun at ${formatTime(copy.began_at)}, and every change is noted for it`,
      advice: 'go on with it by the same `mintmark db copy`, or give it up with `mintmark db copy --cancel`',
    })
  }
  return findings
}

function judgeReplication({ standbys, isSynchronous }: Replication): Finding {
  if (isSynchronous) {
    return { verdict: 'ok', text: 'replication is synchronous: a failover loses nothing that was answered' }
  }
  if (standbys === 0) {
    return { verdict: 'ok', text: 'no standby follows this PostgreSQL: what its disk loses is lost' }
  }
  return {
    verdict: 'warning',
    text:
      `replication to ${formatCount(standbys, 'standby')} is asynchronous: a failover loses the log-ins and revocations of ` +
      'the last moments, while refreshes heal',
    advice: 'set synchronous_standby_names on the primary if a revocation must survive its loss',
  }
}

function judgeSettings({ unsafeSettings }: Replication): Finding[] {
  return unsafeSettings.map(name => ({
    verdict: 'problem',
    text: `PostgreSQL runs with ${name} = off: a power cut loses or breaks what was committed`,
    advice: `set ${name} = on there, and reload`,
  }))
}
