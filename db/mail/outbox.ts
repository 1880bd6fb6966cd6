import type { Database } from '../database.ts'
import type { OutboxTable } from '../schema.ts'
import type { Writer } from '../writer.ts'

/** The mails whose time to be tried has come, the longest due first. */
export async function listDueMails(
  { sql }: Database,
  { now, limit }: { readonly now: number; readonly limit: number },
): Promise<readonly OutboxTable[]> {
  return sql
    .selectFrom('outbox')
    .selectAll()
    .where('next_try_at', '<=', now)
    .orderBy('next_try_at')
    .limit(limit)
    .execute()
}

/** A mail that one instance has taken: for that try it is its own. */
export type TakenMail = Pick<OutboxTable, 'id' | 'tries'>

/**
 * Takes a mail for one try, and leaves it to others from `until` on, should this instance not come back;
 * false when another has taken it since it was read.
 */
export async function takeMail(
  { sql }: Database,
  { id, tries, next_try_at }: OutboxTable,
  until: number,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('outbox')
    .set({ tries: tries + 1, next_try_at: until })
    .where('id', '=', id)
    .where('tries', '=', tries)
    .where('next_try_at', '=', next_try_at)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Lets a mail that was taken wait; false when another instance has taken it since. */
export async function postponeMail(
  { sql }: Database,
  { id, tries }: TakenMail,
  { nextTryAt, lastError }: { readonly nextTryAt: number; readonly lastError: string },
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('outbox')
    .set({ next_try_at: nextTryAt, last_error: lastError })
    .where('id', '=', id)
    .where('tries', '=', tries)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Gives a mail up that was taken; false when another instance has taken it since. */
export async function giveMailUp({ transact }: Writer, { id, tries }: TakenMail): Promise<boolean> {
  return transact(async transaction => {
    const { numDeletedRows } = await transaction
      .deleteFrom('outbox')
      .where('id', '=', id)
      .where('tries', '=', tries)
      .executeTakeFirstOrThrow()
    return numDeletedRows === 1n
  })
}

/** Removes a mail that was sent, or is not to be sent any more, even if another sender has taken it since. */
export async function deleteMail({ sql }: Database, id: Buffer): Promise<void> {
  await sql.deleteFrom('outbox').where('id', '=', id).execute()
}

/** What waits in the outbox. */
export interface OutboxState {
  readonly waiting: number
  /** When the oldest of them was written, in seconds since the epoch; null where none waits. */
  readonly oldestAt: number | null
  /** What the last of those that could not be sent was told; null where none has failed yet. */
  readonly lastError: string | null
}

export async function readOutbox({ sql }: Database): Promise<OutboxState> {
  const { waiting, oldestAt } = await sql
    .selectFrom('outbox')
    .select(({ fn }) => [fn.countAll<number>().as('waiting'), fn.min('created_at').as('oldestAt')])
    .executeTakeFirstOrThrow()
  const failed = await sql
    .selectFrom('outbox')
    .select('last_error')
    .where('last_error', 'is not', null)
    .orderBy('next_try_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return { waiting: Number(waiting), oldestAt, lastError: failed?.last_error ?? null }
}

/** How many mails the audit trail says were refused or given up since then, in seconds since the epoch. */
export async function countUndelivered({ sql }: Database, since: number): Promise<number> {
  const { undelivered } = await sql
    .selectFrom('audit')
    .select(({ fn }) => fn.countAll<number>().as('undelivered'))
    .where('event', 'in', ['mail_refused', 'mail_failed'])
    .where('at', '>=', since)
    .executeTakeFirstOrThrow()
  return Number(undelivered)
}

/** The mails that are sealed under another root key than this one. */
export async function listMailsUnderOlderKeys(
  { sql }: Database,
  rootKeyId: string,
  limit: number,
): Promise<readonly OutboxTable[]> {
  return sql.selectFrom('outbox').selectAll().where('root_key_id', '!=', rootKeyId).limit(limit).execute()
}

/** Seals a mail anew; nothing happens where another instance has done so, or has sent it. */
export async function resealMail(
  { sql }: Database,
  { id, root_key_id }: Pick<OutboxTable, 'id' | 'root_key_id'>,
  sealed: Pick<OutboxTable, 'sealed' | 'root_key_id'>,
): Promise<void> {
  await sql
    .updateTable('outbox')
    .set(sealed)
    .where('id', '=', id)
    .where('root_key_id', '=', root_key_id)
    .execute()
}
