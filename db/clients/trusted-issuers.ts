import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { Tables, TrustedIssuerTable } from '../schema.ts'
import type { Writer } from '../writer.ts'

/** Trusted issuers in the order of their URLs. */
export async function listTrustedIssuers({
  sql,
}: Pick<Database, 'sql'>): Promise<readonly TrustedIssuerTable[]> {
  return sql.selectFrom('trusted_issuers').selectAll().orderBy('issuer').execute()
}

export async function findTrustedIssuer(
  { sql }: Pick<Database, 'sql'>,
  issuer: string,
): Promise<TrustedIssuerTable | undefined> {
  return sql.selectFrom('trusted_issuers').selectAll().where('issuer', '=', issuer).executeTakeFirst()
}

/** Adds an issuer; false when it is there, there are `issuersMax` already, or it names no client that is. */
export async function insertTrustedIssuer(
  { transact }: Writer,
  row: TrustedIssuerTable,
  issuersMax: number,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return addTrustedIssuer(transaction, row, issuersMax)
  })
}

/** The same as part of a transaction that has raised the revision: so others wait, and count this one. */
export async function addTrustedIssuer(
  transaction: Transaction<Tables>,
  row: TrustedIssuerTable,
  issuersMax: number,
): Promise<boolean> {
  if ((await listTrustedIssuers({ sql: transaction })).length >= issuersMax) return false
  if (!(await areClients(transaction, row.subjects))) return false
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('trusted_issuers')
    .values(row)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

export type TrustedIssuerSettings = Omit<TrustedIssuerTable, 'issuer' | 'created_at'>

/** Changes an issuer; false when it is not as it was seen any more, or names no client that is. */
export async function changeTrustedIssuer(
  { transact }: Writer,
  seen: TrustedIssuerTable,
  after: TrustedIssuerSettings,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return updateTrustedIssuer(transaction, seen, after)
  })
}

/** The same as part of a transaction. */
export async function updateTrustedIssuer(
  transaction: Transaction<Tables>,
  seen: TrustedIssuerTable,
  after: Partial<TrustedIssuerSettings>,
): Promise<boolean> {
  if (!(await areClients(transaction, after.subjects ?? '[]'))) return false
  const { numUpdatedRows } = await transaction
    .updateTable('trusted_issuers')
    .set(after)
    .where(eb => eb.and(seen))
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Whether there are all clients that these subjects name: one may have been deleted just now. */
async function areClients(transaction: Transaction<Tables>, subjects: string): Promise<boolean> {
  const ids = [...new Set(subjectsOf(subjects).map(({ client }) => client))]
  if (ids.length === 0) return true
  const found = await transaction.selectFrom('clients').select('id').where('id', 'in', ids).execute()
  return found.length === ids.length
}

const subjectsOf = (json: string): readonly { readonly client: string }[] => JSON.parse(json)

/** Deletes an issuer; false when it is not as it was seen any more. */
export async function deleteTrustedIssuer({ transact }: Writer, seen: TrustedIssuerTable): Promise<boolean> {
  return transact(async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('trusted_issuers')
      .where(eb => eb.and(seen))
      .executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}

/**
 * Has no issuer name a client any more that is deleted, in the transaction that does so: another of its id
 * is somebody else.
 */
export async function forgetSubjectsOfClient(transaction: Transaction<Tables>, id: string): Promise<void> {
  for (const { issuer, subjects } of await listTrustedIssuers({ sql: transaction })) {
    const all = subjectsOf(subjects)
    const left = all.filter(({ client }) => client !== id)
    if (left.length === all.length) continue
    await transaction
      .updateTable('trusted_issuers')
      .set({ subjects: JSON.stringify(left) })
      .where('issuer', '=', issuer)
      .execute()
  }
}
