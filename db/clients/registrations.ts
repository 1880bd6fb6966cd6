import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { RegistrationTokenTable } from '../schema.ts'
import type { Writer } from '../writer.ts'
import { addClients, type NewClient } from './clients.ts'

/** Registration tokens, the oldest first. */
export async function listRegistrationTokens({ sql }: Database): Promise<readonly RegistrationTokenTable[]> {
  return sql.selectFrom('registration_tokens').selectAll().orderBy('id').execute()
}

/** Adds a token; false when there are `tokensMax` already. Those that expired are deleted first. */
export async function insertRegistrationToken(
  { transact }: Writer,
  token: RegistrationTokenTable,
  tokensMax: number,
): Promise<boolean> {
  return transact(async transaction => {
    // So others wait, and count this one.
    await raiseRevision(transaction)
    await transaction.deleteFrom('registration_tokens').where('expires_at', '<=', token.created_at).execute()
    const { count } = await transaction
      .selectFrom('registration_tokens')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    if (Number(count) >= tokensMax) return false
    await transaction.insertInto('registration_tokens').values(token).execute()
    return true
  })
}

/** Deletes a token; false when there is none. The clients that it has made stay. */
export async function deleteRegistrationToken({ transact }: Writer, id: Buffer): Promise<boolean> {
  return transact(async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('registration_tokens')
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    return numDeletedRows === 1n
  })
}

/**
 * Adds a client by a registration token; false when that is gone, has expired, or has made as many as it may.
 * One statement decides, so that no two make the last one.
 */
export async function registerClient(
  { transact }: Writer,
  tokenId: Buffer,
  client: NewClient,
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('registration_tokens')
      .set(({ eb }) => ({ clients_made: eb('clients_made', '+', 1) }))
      .where('id', '=', tokenId)
      .where('expires_at', '>', client.created_at)
      .whereRef('clients_made', '<', 'clients_max')
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await raiseRevision(transaction)
    if (!(await addClients(transaction, [client]))) throw new Error('unreachable: a random id is taken')
    return true
  })
}
