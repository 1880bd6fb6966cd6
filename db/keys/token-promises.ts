import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'

export interface TokenPromise {
  readonly kid: string
  readonly now: number
  /** When the last of the tokens expires. */
  readonly expiresAt: number
  /** How many there may be. */
  readonly tokens: number
}

/**
 * Promises that a key stays published for the tokens that it is about to sign; false when it does not sign
 * any more. Never takes an earlier promise back.
 */
export async function promiseTokens(
  { transact, engine }: Database,
  { kid, now, expiresAt, tokens }: TokenPromise,
): Promise<boolean> {
  return transact(async transaction => {
    const { clock_skew_seconds, jwks_max_age_seconds } = await transaction
      .selectFrom('installation')
      .select(['clock_skew_seconds', 'jwks_max_age_seconds'])
      // A larger policy waits for this promise, and then raises it with the others.
      .$if(engine === 'postgres', query => query.forShare())
      .executeTakeFirstOrThrow()
    const verifyUntil = expiresAt + clock_skew_seconds + jwks_max_age_seconds
    const { numUpdatedRows } = await transaction
      .updateTable('signing_keys')
      .set({
        verify_until: raise('verify_until', verifyUntil),
        verify_seconds: raise('verify_seconds', verifyUntil - now),
      })
      .where('kid', '=', kid)
      .where('activated_at', 'is not', null)
      .where('retired_at', 'is', null)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await transaction
      .insertInto('token_promises')
      .values({ kid, expires_at: expiresAt, tokens })
      .onConflict(conflict =>
        conflict
          .columns(['kid', 'expires_at'])
          .doUpdateSet(eb => ({ tokens: eb('token_promises.tokens', '+', eb.ref('excluded.tokens')) })),
      )
      .execute()
    await transaction.deleteFrom('token_promises').where('expires_at', '<', now).execute()
    return true
  })
}

function raise(column: 'verify_until' | 'verify_seconds', value: number) {
  return fragment<number>`case when ${fragment.ref(column)} < ${value} then ${value} else ${fragment.ref(column)} end`
}

/** Until when verifiers may need some key that has signed. */
export async function lastVerifyUntil({ sql }: Database): Promise<number> {
  const { until } = await sql
    .selectFrom('signing_keys')
    .select(({ fn }) => fn.max('verify_until').as('until'))
    .where('revoked_at', 'is', null)
    .executeTakeFirstOrThrow()
  return until ?? 0
}

/** How many living tokens there are at the most, by the key that signed them. */
export async function countPromised({ sql }: Database, now: number): Promise<ReadonlyMap<string, number>> {
  const rows = await sql
    .selectFrom('token_promises')
    .select(({ fn }) => ['kid', fn.sum<number>('tokens').as('tokens')])
    .where('expires_at', '>', now)
    .groupBy('kid')
    .execute()
  return new Map(rows.map(({ kid, tokens }) => [kid, Number(tokens)]))
}
