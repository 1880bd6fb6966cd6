import type { Kysely } from 'kysely'
import type { ClientTable, Tables } from '../schema.ts'
import { someAtOnce, someRowsAtOnce } from '../some-at-once.ts'
import { step, type Steps } from '../steps.ts'

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange'

function exchanges({ grant_types: grantTypes }: Pick<ClientTable, 'grant_types'>): boolean {
  return grantTypes.split(' ').includes(grantType)
}

/** Notes which of the clients exchange tokens: they are found among all others. Part of a transaction. */
export async function noteExchangers(
  sql: Kysely<Tables>,
  clients: readonly Pick<ClientTable, 'id' | 'grant_types'>[],
): Promise<void> {
  const rows = clients.filter(exchanges).map(({ id: client_id }) => ({ client_id }))
  for (const some of someRowsAtOnce(rows))
    await sql
      .insertInto('exchangers')
      .values(some)
      .onConflict(conflict => conflict.doNothing())
      .execute()
}

/** The same for a client that has changed, or is gone. */
export async function forgetExchanger(sql: Kysely<Tables>, id: string): Promise<void> {
  await sql.deleteFrom('exchangers').where('client_id', '=', id).execute()
}

/**
 * Adds the resources that tokens for some resources may have been exchanged for (RFC 8693). Both are
 * separated by spaces.
 */
export type Reach = (resources: string) => string

/**
 * Reads which clients exchange tokens for the APIs that they serve, and for which others. Each exchange may
 * be of a token that was exchanged before.
 */
export function* readReach(sql: Kysely<Tables>): Steps<Reach> {
  const steps: { readonly from: readonly string[]; readonly to: readonly string[] }[] = []
  const { rows } = yield* step(sql.selectFrom('exchangers').select('client_id').compile())
  for (const some of someAtOnce(rows.map(({ client_id: id }) => id))) {
    const clients = sql.selectFrom('clients').select(['introspects', 'resources']).where('id', 'in', some)
    for (const { introspects, resources } of (yield* step(clients.compile())).rows)
      if (introspects !== '') steps.push({ from: introspects.split(' '), to: resources.split(' ') })
  }
  if (steps.length === 0) return resources => resources
  return resources => {
    const reached = new Set(resources.split(' ').filter(one => one !== ''))
    for (let before = -1; before < reached.size;) {
      before = reached.size
      for (const { from, to } of steps)
        if (from.some(one => reached.has(one))) for (const one of to) reached.add(one)
    }
    return [...reached].join(' ')
  }
}
