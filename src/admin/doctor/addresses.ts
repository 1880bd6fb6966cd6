import { listClients } from '../../../db/clients/clients.ts'
import { latestAuditEntries } from '../../../db/installation/audit.ts'
import type { Admin } from '../admin.ts'
import type { Examination, Finding } from './finding.ts'

/** So many users of public clients do not all live behind one address by chance. */
const usersMin = 5

/** The last log-ins of a month tell how things are now. */
const entriesMax = 500
const recentSeconds = 30 * 86_400

/**
 * Whether users can be told apart by where they come from. Where a proxy that is not believed stands before
 * the server, they all have its address: then the limit of guesses from one source is theirs together, and
 * the audit trail knows no other.
 */
export async function checkAddresses({ db }: Admin, { config, clock }: Examination): Promise<Finding[]> {
  const { trustProxy } = config
  const filter = { since: clock.now() - recentSeconds, events: ['log_in'] }
  const logIns = await latestAuditEntries(db, filter, entriesMax)
  const findings: Finding[] = []
  for (const client of await listClients(db)) {
    // Through a confidential client users come from one address, unless it says that it forwards theirs.
    const isPublic = client.auth_method === 'none'
    if (!isPublic && client.forwards_user_address === 0) continue
    const own = logIns.filter(({ client_id }) => client_id === client.id)
    const users = new Set(own.map(({ user_id }) => user_id?.toString('hex')))
    const [address, ...others] = new Set(own.map(entry => entry.address))
    if (users.size < usersMin || others.length > 0) continue
    findings.push({
      verdict: 'warning',
      text: `all ${users.size} users who last logged in through the client ${client.id} came from ${address}`,
      advice: !isPublic
        ? 'have the client send `Forwarded: for=ADDRESS` with the address of each user (RFC 7239)'
        : trustProxy.length === 0
          ? `if that is your proxy, set MINTMARK_TRUST_PROXY=${address}, and have it send X-Forwarded-For`
          : `if that is your proxy too, add it to MINTMARK_TRUST_PROXY, and have it send X-Forwarded-For`,
    })
  }
  if (findings.length > 0) return findings
  const text = 'users who logged in lately come from addresses of their own, as far as can be told'
  return [{ verdict: 'ok', text }]
}
