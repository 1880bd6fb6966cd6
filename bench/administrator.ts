import { insertClient } from '../db/clients/clients.ts'
import { openDatabase } from '../db/open-database.ts'
import { plainClientRow } from '../src/clients/registration.ts'
import { hashSecret } from '../src/protocol/secrets.ts'
import { clientSecret, type Mintmark } from './mintmark.ts'

const id = 'bench-admin'

/** Adds a client that administers, and returns what its requests have. */
export async function administrator({ url, databaseFile }: Mintmark): Promise<{ authorization: string }> {
  const db = openDatabase({ engine: 'sqlite', file: databaseFile }, { isPatient: true })
  await insertClient(
    db,
    plainClientRow({
      id,
      secret_hash: hashSecret(clientSecret),
      is_admin: 1,
      grant_types: 'client_credentials',
      scope: 'admin:write',
      created_at: Math.floor(Date.now() / 1000),
    }),
  )
  await db.close()
  const basic = Buffer.from(`${id}:${clientSecret}`).toString('base64')
  const response = await fetch(`${url}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${basic}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: 'grant_type=client_credentials',
  })
  const { access_token } = (await response.json()) as { access_token: string }
  return { authorization: `Bearer ${access_token}` }
}

/** The path of a user at the admin API. */
export async function userPath(
  { url }: Mintmark,
  headers: { readonly authorization: string },
): Promise<string> {
  const response = await fetch(`${url}/admin/v1/users?limit=1`, { headers })
  const { items } = (await response.json()) as { items: readonly { readonly sub: string }[] }
  return `/admin/v1/users/${items[0]?.sub}`
}
