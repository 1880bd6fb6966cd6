import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { OwnClaimTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'

/** Own claims in the order of their names. */
export async function listOwnClaims({ sql }: Pick<Database, 'sql'>): Promise<readonly OwnClaimTable[]> {
  return sql.selectFrom('own_claims').selectAll().orderBy('name').execute()
}

export async function findOwnClaim({ sql }: Database, name: string): Promise<OwnClaimTable | undefined> {
  return sql.selectFrom('own_claims').selectAll().where('name', '=', name).executeTakeFirst()
}

/** Adds a claim; false when its name is taken, or there are `claimsMax` already. */
export async function insertOwnClaim(
  { transact }: Writer,
  claim: OwnClaimTable,
  claimsMax: number,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return addOwnClaim(transaction, claim, claimsMax)
  })
}

/** The same as part of a transaction that has raised the revision: so others wait, and count this one. */
export async function addOwnClaim(
  transaction: Transaction<Tables>,
  claim: OwnClaimTable,
  claimsMax: number,
): Promise<boolean> {
  if ((await listOwnClaims({ sql: transaction })).length >= claimsMax) return false
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('own_claims')
    .values(claim)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** Changes a claim; false when it is not as it was seen any more. */
export async function changeOwnClaim(
  { transact }: Writer,
  seen: OwnClaimTable,
  after: OwnClaimSettings,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return updateOwnClaim(transaction, seen, after)
  })
}

export type OwnClaimSettings = Pick<OwnClaimTable, 'kind' | 'source'>

/** The same as part of a transaction. */
export async function updateOwnClaim(
  transaction: Transaction<Tables>,
  { name, kind, source }: OwnClaimTable,
  after: Partial<OwnClaimSettings>,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('own_claims')
    .set(after)
    .where('name', '=', name)
    .where('kind', '=', kind)
    .where('source', '=', source)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

export interface OwnClaimDeletion {
  /** `used`: nothing was changed, because something wants it. */
  readonly kind: 'deleted' | 'used' | 'unknown'
  /** The URIs of resources and the ids of clients that want it, or did. */
  readonly wantedBy: readonly string[]
}

/** Deletes a claim that is wanted by none; with `force`, takes it from those that want it. */
export async function deleteOwnClaim(
  { transact }: Writer,
  name: string,
  { force }: { readonly force: boolean },
): Promise<OwnClaimDeletion> {
  return transact(async (transaction): Promise<OwnClaimDeletion> => {
    await raiseRevision(transaction)
    const found = await transaction
      .selectFrom('own_claims')
      .select('name')
      .where('name', '=', name)
      .executeTakeFirst()
    if (!found) return { kind: 'unknown', wantedBy: [] }
    const resources = (await transaction.selectFrom('resources').select(['uri', 'claims']).execute()).filter(
      wants,
    )
    const clients = (await transaction.selectFrom('clients').select(['id', 'claims']).execute()).filter(wants)
    const wantedBy = [...resources.map(({ uri }) => uri), ...clients.map(({ id }) => id)]
    if (wantedBy.length > 0 && !force) return { kind: 'used', wantedBy }
    for (const { uri, claims } of resources)
      await transaction
        .updateTable('resources')
        .set({ claims: rest(claims) })
        .where('uri', '=', uri)
        .execute()
    for (const { id, claims } of clients)
      await transaction
        .updateTable('clients')
        .set({ claims: rest(claims) })
        .where('id', '=', id)
        .execute()
    await transaction.deleteFrom('own_claims').where('name', '=', name).execute()
    return { kind: 'deleted', wantedBy }
  })
  function wants({ claims }: { readonly claims: string | null }): boolean {
    return claims !== null && claims.split(' ').includes(name)
  }
  function rest(claims: string | null): string {
    return (claims ?? '')
      .split(' ')
      .filter(item => item !== name)
      .join(' ')
  }
}
