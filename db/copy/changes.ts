import { sql as fragment, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables } from '../schema.ts'
import { copiedTables, largeTables } from './tables.ts'

const events = ['insert', 'update', 'delete'] as const

/** From now on each change of a large table is noted, in the transaction that makes it. */
export async function noteChanges(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
): Promise<void> {
  await giveWay(transaction, engine)
  for (const { name, key, serial } of largeTables) {
    const [column = ''] = key
    if (engine === 'postgres') {
      await run(
        transaction,
        `create trigger copy_${name} after insert or update or delete on ${name}
          for each row execute function mintmark_note('${column}')`,
      )
      continue
    }
    for (const event of events) {
      const changed = `${event === 'delete' ? 'old' : 'new'}.${column}`
      await run(
        transaction,
        `create trigger copy_${name}_${event} after ${event} on ${name} begin
          insert into copy_changes (table_name, key_text)
          values ('${name}', ${serial === undefined ? `lower(hex(${changed}))` : `cast(${changed} as text)`});
        end`,
      )
    }
  }
}

export async function stopNotingChanges(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
): Promise<void> {
  await giveWay(transaction, engine)
  for (const { name } of largeTables) {
    if (engine === 'postgres') await run(transaction, `drop trigger if exists copy_${name} on ${name}`)
    else {
      for (const event of events) await run(transaction, `drop trigger if exists copy_${name}_${event}`)
    }
  }
}

/**
 * From the commit on, the database itself refuses every write: a server that has not heard of it yet can lose
 * none.
 */
export async function refuseWrites(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
): Promise<void> {
  for (const { name } of copiedTables) {
    if (engine === 'postgres') {
      await run(
        transaction,
        `create trigger moved_${name} before insert or update or delete on ${name}
          for each statement execute function mintmark_moved()`,
      )
      continue
    }
    for (const event of events) {
      await run(
        transaction,
        `create trigger moved_${name}_${event} before ${event} on ${name}
          begin select raise(abort, 'the installation has been moved to another database'); end`,
      )
    }
  }
}

/**
 * Only this transaction writes until it ends; reading goes on. On SQLite every transaction of ours is like
 * that.
 */
export async function stopWrites(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
): Promise<void> {
  if (engine === 'sqlite') return
  await giveWay(transaction, engine)
  // Should the machine that copies vanish from the network, its locks must not outlive it for long.
  await run(transaction, "select set_config('idle_in_transaction_session_timeout', '30s', true)")
  const names = copiedTables.map(({ name }) => name).join(', ')
  await run(transaction, `lock table ${names} in share row exclusive mode`)
}

/**
 * Others queue behind us while we wait for a lock, so it gives up soon: it throws, and nothing has changed.
 */
async function giveWay(transaction: Kysely<Tables>, engine: Database['engine']): Promise<void> {
  if (engine === 'postgres') await run(transaction, "select set_config('lock_timeout', '2s', true)")
}

async function run(transaction: Kysely<Tables>, statement: string): Promise<void> {
  await fragment.raw(statement).execute(transaction)
}
