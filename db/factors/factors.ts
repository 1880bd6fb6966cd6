import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery } from '../kept-query.ts'
import type { PasskeyTable, Tables, TotpTable } from '../schema.ts'

/** What a user can prove with who it is, as the rows say it. */
export interface FactorRows {
  readonly passwordHash: string
  readonly passkeys: readonly PasskeyTable[]
  readonly totp: Pick<TotpTable, 'created_at' | 'used_at'> | undefined
  readonly recoveryCodesLeft: number
}

/** A row for each passkey, and one where there is none: so a single statement finds all. */
const factorsQuery = (sql: Kysely<Tables>, userId: Buffer) =>
  sql
    .selectFrom('users')
    .leftJoin('totps', 'totps.user_id', 'users.id')
    .leftJoin('passkeys', 'passkeys.user_id', 'users.id')
    .select(['users.password_hash', 'totps.created_at as totp_created_at', 'totps.used_at as totp_used_at'])
    .selectAll('passkeys')
    .select(({ selectFrom }) =>
      selectFrom('recovery_codes')
        .select(({ fn }) => fn.countAll<number>().as('left'))
        .whereRef('recovery_codes.user_id', '=', 'users.id')
        .where('recovery_codes.used_at', 'is', null)
        .as('codes_left'),
    )
    .where('users.id', '=', userId)
    .orderBy('passkeys.id')

const factorsByUser = keptQuery(factorsQuery)

/** The factors of a user; undefined where there is no such user. */
export async function findFactors(db: Database, userId: Buffer): Promise<FactorRows | undefined> {
  return fromRows(await factorsByUser(db, userId))
}

/** The same in a transaction, which decides by them. */
export async function findFactorsIn(
  transaction: Transaction<Tables>,
  userId: Buffer,
): Promise<FactorRows | undefined> {
  return fromRows(await factorsQuery(transaction, userId).execute())
}

type FoundRow = Awaited<ReturnType<typeof factorsByUser>>[number]

function fromRows(rows: readonly FoundRow[]): FactorRows | undefined {
  const [first] = rows
  if (!first) return undefined
  const { password_hash: passwordHash, totp_created_at, totp_used_at, codes_left } = first
  return {
    passwordHash,
    passkeys: rows.flatMap(({ password_hash, totp_created_at, totp_used_at, codes_left, ...passkey }) =>
      // A join that has met nothing has nulls alone.
      passkey.id === null ? [] : [passkey as PasskeyTable],
    ),
    totp: totp_created_at === null ? undefined : { created_at: totp_created_at, used_at: totp_used_at },
    recoveryCodesLeft: Number(codes_left),
  }
}
