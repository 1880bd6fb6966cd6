import { insertClient, listClients } from '../../db/clients/clients.ts'
import { insertResource } from '../../db/clients/resources.ts'
import { findUser } from '../../db/users/users.ts'
import { plainClientRow } from '../clients/registration.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import { hashSecret, newClientSecret, newSessionSecret } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { newResourceRow } from './resources.ts'
import { createUser } from './users.ts'

const uri = 'https://api.example'
const scope = ['read', 'write']

/** The id of the client, and the name of the user. */
export const demoName = 'demo'

export interface Demo {
  readonly clientSecret: string
  readonly password: string
}

/**
 * Adds a resource, a client and a user with random secrets; undefined, and nothing is added, if there is a
 * client already.
 */
export async function addDemo(
  admin: Pick<Admin, 'db' | 'clock' | 'log' | 'actor' | 'passwords'>,
): Promise<Demo | undefined> {
  const { db, clock } = admin
  if ((await listClients(db)).length > 0 || (await findUser(db, demoName))) return undefined
  const demo = { clientSecret: newClientSecret(), password: newSessionSecret().toString('base64url') }
  const declared = { uri, scope, alg: defaultAlg, access_token_ttl: null, status: true }
  const resource = newResourceRow(declared, clock.now())
  await record(admin, { event: 'resource_created', detail: { uri } }, db => insertResource(db, resource))
  await createUser(admin, { username: demoName, password: demo.password, roles: [] })
  const client = plainClientRow({
    id: demoName,
    secret_hash: hashSecret(demo.clientSecret),
    grant_types: 'password refresh_token client_credentials',
    scope: scope.join(' '),
    resources: uri,
    created_at: clock.now(),
  })
  const created = { event: 'client_created', clientId: demoName } as const
  return (await record(admin, created, db => insertClient(db, client))) ? demo : undefined
}
