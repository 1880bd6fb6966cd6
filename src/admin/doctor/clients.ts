import { listClients } from '../../../db/clients/clients.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

/** So many are named. */
const namedMax = 50

/** Clients that may do what is only for those that cannot do better yet. */
export async function checkClients({ db }: Admin): Promise<Finding[]> {
  const ids = (await listClients(db)).filter(({ pkce }) => pkce === 'optional').map(({ id }) => id)
  if (ids.length === 0) return []
  const more = ids.length > namedMax ? [`and ${(ids.length - namedMax).toLocaleString('en-US')} more`] : []
  return [
    {
      verdict: 'warning',
      text: `clients that may leave out PKCE: ${[...ids.slice(0, namedMax), ...more].join(', ')}`,
      advice: 'once one of them uses it: `mintmark client update ID --pkce required` (RFC 9700 §2.1.1)',
    },
  ]
}
