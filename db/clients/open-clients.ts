import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { ClientTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { addClients, updateClient, type NewClient } from './clients.ts'

type Changes = Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>

/** What became of the row of a client that is known by a document. */
export type KeptClient =
  | { readonly kind: 'added'; readonly client: ClientTable }
  | { readonly kind: 'same'; readonly client: ClientTable }
  | { readonly kind: 'changed'; readonly client: ClientTable; readonly changes: Changes }
  /** The user has allowed as many such clients something as anybody may. */
  | { readonly kind: 'too_many' }

/**
 * Keeps the client whom a user is about to allow something, as its document is now. `columns` are those that
 * the document says. Undefined where a client of another kind has that id.
 */
export async function keepDocumentClient(
  { transact }: Writer,
  client: NewClient,
  columns: Partial<ClientTable>,
  { userId, clientsMax }: { readonly userId: Buffer; readonly clientsMax: number },
): Promise<KeptClient | undefined> {
  const { id } = client
  return transact(async transaction => {
    let found = await read(transaction, id)
    if (!found) {
      if ((await countOf(transaction, userId)) >= clientsMax) return { kind: 'too_many' }
      const isAdded = await addClients(transaction, [client])
      if (isAdded) await raiseRevision(transaction)
      found = await read(transaction, id)
      if (isAdded && found) return { kind: 'added', client: found }
    }
    if (found?.made_by !== 'document') return undefined
    const changes = changesOf(found, columns)
    if (Object.keys(changes).length === 0) return { kind: 'same', client: found }
    await updateClient(transaction, id, columns, {})
    await raiseRevision(transaction)
    return { kind: 'changed', client: { ...found, ...columns }, changes }
  })
}

function changesOf(before: ClientTable, columns: Partial<ClientTable>): Changes {
  const names = (Object.keys(columns) as (keyof ClientTable)[]).filter(name => before[name] !== columns[name])
  return Object.fromEntries(names.map(name => [name, { from: before[name], to: columns[name] }]))
}

async function read(transaction: Kysely<Tables>, id: string): Promise<ClientTable | undefined> {
  return transaction.selectFrom('clients').selectAll().where('id', '=', id).executeTakeFirst()
}

/** How many clients that are known by documents a user has allowed something. */
async function countOf(transaction: Kysely<Tables>, userId: Buffer): Promise<number> {
  const { count } = await transaction
    .selectFrom('consents')
    .innerJoin('clients', 'clients.id', 'consents.client_id')
    .select(({ fn }) => fn.count<number>('clients.id').distinct().as('count'))
    .where('consents.user_id', '=', userId)
    .where('clients.made_by', '=', 'document')
    .executeTakeFirstOrThrow()
  return Number(count)
}

/**
 * Some clients that no administrator has made, that no user allows anything any more, and that are at least
 * so old. One that is disabled stays, so that it stays refused.
 */
export async function listUnusedClients(
  { sql }: Database,
  { madeBefore, limit }: { readonly madeBefore: number; readonly limit: number },
): Promise<readonly ClientTable[]> {
  return sql
    .selectFrom('clients')
    .selectAll()
    .where('made_by', '<>', 'administrator')
    .where('disabled_at', 'is', null)
    .where('created_at', '<', madeBefore)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('consents').select('consents.id').whereRef('consents.client_id', '=', 'clients.id'),
        ),
      ),
    )
    .limit(limit)
    .execute()
}
