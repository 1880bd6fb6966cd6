import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import { signingAlgs } from '../keys/signing-keys.ts'
import type { ResourceTable, Tables } from '../schema.ts'
import { someRowsAtOnce } from '../some-at-once.ts'
import type { Writer } from '../writer.ts'

type OptionalColumn = 'claims' | 'is_open' | 'personal_access_tokens' | 'authorization_details_types'

/** A resource as it is wanted. `previous_alg` signs for it until its own may, if that has to wait. */
export interface NewResource
  extends Omit<ResourceTable, OptionalColumn>, Partial<Pick<ResourceTable, OptionalColumn>> {
  readonly previous_alg: string
}

export async function findResource({ sql }: Database, uri: string): Promise<ResourceTable | undefined> {
  return sql.selectFrom('resources').selectAll().where('uri', '=', uri).executeTakeFirst()
}

/** Resources in the order of their URIs: all, or so many after one of them. */
export async function listResources(
  { sql }: Database,
  { after = '', limit }: { readonly after?: string | undefined; readonly limit?: number } = {},
): Promise<ResourceTable[]> {
  return sql
    .selectFrom('resources')
    .selectAll()
    .where('uri', '>', after)
    .orderBy('uri')
    .$if(limit !== undefined, query => query.limit(limit ?? 0))
    .execute()
}

/** Adds a resource; false when one with its URI is there already. */
export async function insertResource({ transact }: Writer, resource: NewResource): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return addResources(transaction, [resource])
  })
}

/**
 * A part of a larger transaction, which has raised the revision: so no key begins to sign until it ends.
 * False, and is undone by it, when one of the URIs is there already.
 */
export async function addResources(
  transaction: Transaction<Tables>,
  resources: readonly NewResource[],
  onProgress: (added: number) => void = () => {},
): Promise<boolean> {
  const signing = await listSigningAlgs(transaction)
  // Before there is any key, all that are wanted will sign at once.
  const mayHave = (alg: string) => signing.length === 0 || signing.includes(alg)
  let added = 0
  const rows = resources.map(row => ({
    is_open: 0,
    personal_access_tokens: 0,
    authorization_details_types: '{}',
    ...row,
    previous_alg: mayHave(row.alg) ? null : row.previous_alg,
  }))
  for (const some of someRowsAtOnce(rows)) {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('resources')
      .values(some)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== BigInt(some.length)) return false
    added += some.length
    onProgress(added)
  }
  return true
}

export type ResourceSettings = Omit<ResourceTable, 'uri' | 'previous_alg' | 'created_at'>

/** A resource as somebody has read it. Its `previous_alg` is of no account: that changes by itself. */
export type SeenResource = Partial<Omit<ResourceTable, 'uri'>>

/** Changes a resource's settings; false when there is none, or it is not as it was `seen`. */
export async function changeResource(
  { transact }: Writer,
  uri: string,
  settings: Partial<ResourceSettings>,
  seen: SeenResource = {},
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return updateResource(transaction, uri, settings, seen)
  })
}

/** A part of a larger transaction, which has raised the revision: so no key begins to sign until it ends. */
export async function updateResource(
  transaction: Transaction<Tables>,
  uri: string,
  settings: Partial<ResourceSettings>,
  { previous_alg: _, ...seen }: SeenResource,
): Promise<boolean> {
  const before = await transaction
    .selectFrom('resources')
    .select(['alg', 'previous_alg'])
    .where('uri', '=', uri)
    .executeTakeFirst()
  if (!before) return false
  const alg = settings.alg ?? before.alg
  const signing = await listSigningAlgs(transaction)
  const mayHaveAlg = signing.length === 0 || signing.includes(alg)
  const { numUpdatedRows } = await transaction
    .updateTable('resources')
    .set({ ...settings, previous_alg: mayHaveAlg ? null : (before.previous_alg ?? before.alg) })
    .where('uri', '=', uri)
    .where(eb => eb.and(seen))
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

async function listSigningAlgs(transaction: Transaction<Tables>): Promise<readonly string[]> {
  return (await signingAlgs(transaction).execute()).map(({ alg }) => alg)
}

export interface ResourceDeletion {
  /** Nothing was changed where it is `used` by clients, or `changed`: it is not as it was seen. */
  readonly kind: 'deleted' | 'used' | 'changed' | 'unknown'
  /** The ids of the clients that use it, or did. */
  readonly clients: readonly string[]
}

/**
 * Deletes a resource that no client uses; with `force`, takes it from those that do. It must be as it was
 * `seen`. Its tokens run out by themselves.
 */
export async function deleteResource(
  { transact }: Writer,
  uri: string,
  { force, seen = {} }: { readonly force: boolean; readonly seen?: SeenResource },
): Promise<ResourceDeletion> {
  const { previous_alg: _, ...asSeen } = seen
  return transact(async transaction => {
    const found = await transaction
      .selectFrom('resources')
      .select('uri')
      .where('uri', '=', uri)
      .executeTakeFirst()
    if (!found) return { kind: 'unknown', clients: [] }

    const users = (
      await transaction.selectFrom('clients').select(['id', 'resources', 'introspects']).execute()
    ).filter(client => [client.resources, client.introspects].some(list => list.split(' ').includes(uri)))
    const clients = users.map(client => client.id).sort()
    if (users.length > 0 && !force) return { kind: 'used', clients }

    await raiseRevision(transaction)
    const { numDeletedRows } = await transaction
      .deleteFrom('resources')
      .where('uri', '=', uri)
      .where(eb => eb.and(asSeen))
      .executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) return { kind: 'changed', clients: [] }

    const without = (list: string) =>
      list
        .split(' ')
        .filter(item => item !== uri)
        .join(' ')
    for (const { id, resources, introspects } of users) {
      await transaction
        .updateTable('clients')
        .set({ resources: without(resources), introspects: without(introspects) })
        .where('id', '=', id)
        .execute()
    }
    return { kind: 'deleted', clients }
  })
}
