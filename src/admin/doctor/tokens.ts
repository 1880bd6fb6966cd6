import { listUsersToTell } from '../../../db/users/much-to-tell.ts'
import { openRegistry } from '../../clients/registry.ts'
import { claimsBytesMax, fittingClaims, leftOut } from '../../protocol/fitting-claims.ts'
import { ownClaimsBytesMax } from '../../protocol/own-claims.ts'
import { groupsOf, type KnownGroups, type RoleHolder } from '../../protocol/roles.ts'
import { wholeClaims } from '../../sessions/claims.ts'
import { formatCount, printable } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

/** So many are named. */
const namedMax = 20

/** Beside claims of the installation's own, all that is shorter has room in any token. */
const shortEnough = (claimsBytesMax - ownClaimsBytesMax) / 4

/** Users whose access tokens are without some claims, since all of them would not fit. */
export async function checkTokens({ db, config: { issuer } }: Admin): Promise<Finding[]> {
  const { registry } = openRegistry(db)
  const [groups, resources] = [await registry.groups(), await registry.listResources()]
  const lacking: string[] = []
  let count = 0
  for await (const user of listUsersToTell(db, shortEnough)) {
    if (lengthOf(user, groups) < shortEnough) continue
    const { id: user_id, claims: user_claims } = user
    const session = { ...user, user_id, user_claims, claims: null }
    const without = new Set<string>()
    for (const audience of [issuer, ...resources.map(({ uri }) => uri)]) {
      const claims = await wholeClaims({ db, clients: { registry } }, session, audience)
      for (const name of leftOut(fittingClaims(claims, issuer))) without.add(name)
    }
    if (without.size > 0 && ++count <= namedMax)
      lacking.push(`${printable(user.username)} (${[...without].join(', ')})`)
  }
  if (count === 0) return []
  const more = count > namedMax ? `; and ${(count - namedMax).toLocaleString('en-US')} more` : ''
  const whose = `access tokens of ${formatCount(count, 'user')} are without claims that do not fit`
  return [
    {
      verdict: 'warning',
      text: `${whose}, which /introspect tells: ${lacking.join('; ')}${more}`,
      advice:
        'give them fewer roles and groups, or roles for one API alone; `mintmark explain USER CLIENT` shows a token',
    },
  ]
}

function lengthOf(user: RoleHolder, groups: KnownGroups): number {
  const ofGroups = groupsOf(user, groups).map(name => groups.get(name)?.roles.length ?? 0)
  return user.roles.length + user.group_names.length + ofGroups.reduce((sum, length) => sum + length, 0)
}
