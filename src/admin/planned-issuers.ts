import type { TrustedIssuerTable } from '../../db/schema.ts'
import { authMethodOf } from '../clients/judge-client.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import {
  trustedIssuerMetadata,
  trustedIssuerProblems,
  type TrustedIssuerMetadata,
} from '../clients/trusted-issuer.ts'
import type { Changes } from '../record/events.ts'
import type { Admin } from './admin.ts'
import { refuseClientUnlessUnlimited } from './administrators.ts'
import { differencesOf } from './differences.ts'
import { withUsers } from './named-users.ts'
import {
  clientProblem,
  listTrustedIssuers,
  refuseUsersUnlessUnlimited,
  trustedIssuerWarnings,
} from './trusted-issuers.ts'

/** A trusted issuer as declared, and as it is. */
export interface PlannedIssuer {
  readonly name: string
  readonly declared: TrustedIssuerMetadata
  readonly found: TrustedIssuerTable | undefined
  readonly differences: Changes
  readonly warnings: readonly string[]
}

/** Plans what changes of the trusted issuers. `clients` are those that there are then. */
export async function planIssuers(
  admin: Pick<Admin, 'db' | 'config' | 'isLimited'>,
  declared: readonly TrustedIssuerMetadata[],
  clients: ReadonlyMap<string, ClientMetadata>,
): Promise<{ readonly issuers: readonly PlannedIssuer[]; readonly problems: readonly string[] }> {
  const found = new Map((await listTrustedIssuers(admin)).map(row => [row.issuer, row]))
  const problems: string[] = []
  const resolved: TrustedIssuerMetadata[] = []
  for (const issuer of declared) {
    const row = found.get(issuer.issuer)
    const ofUsers = await withUsers(admin.db, issuer.subjects, row && trustedIssuerMetadata(row).subjects)
    problems.push(...ofUsers.problems.map(problem => `${issuer.issuer}: ${problem}`))
    resolved.push({ ...issuer, subjects: ofUsers.subjects })
  }
  const issuers = resolved.map(issuer => {
    const row = found.get(issuer.issuer)
    const before = row && trustedIssuerMetadata(row)
    const own = [...trustedIssuerProblems(issuer, admin.config.issuer), ...problemsOfClients(issuer, clients)]
    problems.push(...own.map(problem => `${issuer.issuer}: ${problem}`))
    for (const { client: id, user } of [...(before?.subjects ?? []), ...issuer.subjects]) {
      if (user !== null) refuseUsersUnlessUnlimited(admin)
      const client = clients.get(id)
      if (client) refuseClientUnlessUnlimited(admin, client)
    }
    return {
      name: issuer.issuer,
      declared: issuer,
      found: row,
      differences: differencesOf(before, issuer),
      warnings: trustedIssuerWarnings(issuer),
    }
  })
  return { issuers, problems }
}

function* problemsOfClients(
  { subjects }: TrustedIssuerMetadata,
  clients: ReadonlyMap<string, ClientMetadata>,
): Generator<string> {
  for (const id of new Set(subjects.map(({ client }) => client))) {
    const client = clients.get(id)
    const problem = client
      ? clientProblem({ id, auth_method: authMethodOf(client), profile: client.profile })
      : `there is no client ${id}, and none is declared`
    if (problem !== undefined) yield problem
  }
}
