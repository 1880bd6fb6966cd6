import { randomBytes } from 'node:crypto'
import { sql as fragment, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { InstallationTable, Tables } from '../schema.ts'
import type { End } from '../sessions/end-reasons.ts'
import { endEverySession, type EveryEnding } from '../sessions/endings.ts'
import type { Writer } from '../writer.ts'

export type NewInstallation = Omit<
  InstallationTable,
  | 'id'
  | 'revision'
  | 'moved_at'
  | 'backed_up_at'
  | 'lost_since'
  | 'revived_at'
  | 'founding_issuer'
  | 'largest_max_age_seconds'
  | 'largest_max_age_until'
  | 'sign_in_epoch'
  | 'seal_secret'
>

/** The row that says whose database this is; undefined when it has just been made. */
export async function findInstallation({ sql }: Database): Promise<InstallationTable | undefined> {
  return sql.selectFrom('installation').selectAll().executeTakeFirst()
}

/** The same, of a database that has been opened as an installation. */
export async function readInstallation(db: Database): Promise<InstallationTable> {
  const found = await findInstallation(db)
  if (!found) throw new Error('unreachable: who opens an installation records it')
  return found
}

/** Says what a new database is; false when another process was first. */
export async function insertInstallation(
  { transact }: Database,
  installation: NewInstallation,
): Promise<boolean> {
  const { created_at, root_key_id, jwks_max_age_seconds } = installation
  return transact(async transaction => {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('installation')
      .values({
        id: 1,
        revision: 0,
        founding_issuer: installation.issuer,
        moved_at: null,
        backed_up_at: null,
        lost_since: null,
        revived_at: null,
        sign_in_epoch: 0,
        seal_secret: randomBytes(32).toString('base64url'),
        largest_max_age_seconds: jwks_max_age_seconds,
        largest_max_age_until: created_at,
        ...installation,
      })
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== 1n) return false
    await transaction
      .insertInto('root_keys')
      .values({ id: root_key_id, current_from: created_at, current_until: null })
      .execute()
    return true
  })
}

/** The number that every change which running servers must hear of has raised. */
export async function readRevision({ sql }: Database): Promise<number> {
  const { revision } = await sql.selectFrom('installation').select('revision').executeTakeFirstOrThrow()
  return revision
}

/** Tells running servers of a change; in the same transaction as the change. */
export async function raiseRevision(transaction: Kysely<Tables>): Promise<void> {
  await transaction
    .updateTable('installation')
    .set({ revision: fragment`revision + 1` })
    .execute()
}

/** The policy of the key ring that all instances keep to, in seconds. */
export type KeyPolicy = Pick<
  InstallationTable,
  'key_rotation_seconds' | 'jwks_max_age_seconds' | 'clock_skew_seconds'
>

/** For how long a lowered max-age is still reckoned with: a key set must not be kept for longer. */
export const largestMaxAgeLingersSeconds = 7 * 86_400

/**
 * Changes the policy, if it still is the one that was looked at; whether it was. Promises that were made
 * already are raised where the new policy promises more, and kept where it promises less.
 */
export async function changeKeyPolicy({ transact }: Writer, change: KeyPolicyChange): Promise<boolean> {
  return transact(transaction => changePolicyRow(transaction, change))
}

export interface KeyPolicyChange {
  readonly from: KeyPolicy
  readonly to: KeyPolicy
  readonly now: number
}

/** The same as part of a transaction. */
export async function changePolicyRow(
  transaction: Transaction<Tables>,
  { from, to, now }: KeyPolicyChange,
): Promise<boolean> {
  const lingering = fragment<number>`case when largest_max_age_until > ${now} then largest_max_age_seconds else 0 end`
  const { numUpdatedRows } = await transaction
    .updateTable('installation')
    .set({
      ...to,
      revision: fragment`revision + 1`,
      ...(to.jwks_max_age_seconds < from.jwks_max_age_seconds && {
        largest_max_age_seconds: fragment`case when ${lingering} > jwks_max_age_seconds then ${lingering} else jwks_max_age_seconds end`,
        largest_max_age_until: now + largestMaxAgeLingersSeconds,
      }),
    })
    .where('key_rotation_seconds', '=', from.key_rotation_seconds)
    .where('jwks_max_age_seconds', '=', from.jwks_max_age_seconds)
    .where('clock_skew_seconds', '=', from.clock_skew_seconds)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return false
  const marginOf = (policy: KeyPolicy) => policy.jwks_max_age_seconds + policy.clock_skew_seconds
  const raise = marginOf(to) - marginOf(from)
  if (raise > 0) {
    await transaction
      .updateTable('signing_keys')
      .set(eb => ({
        verify_until: eb('verify_until', '+', raise),
        verify_seconds: eb('verify_seconds', '+', raise),
      }))
      .execute()
  }
  return true
}

/** How many there are of what people make. */
export async function countRows({ sql }: Database) {
  const count = (table: 'users' | 'clients' | 'resources') =>
    sql.selectFrom(table).select(sql.fn.countAll<number>().as('count')).$asScalar().$notNull()
  return sql
    .selectNoFrom([
      count('users').as('users'),
      count('clients').as('clients'),
      count('resources').as('resources'),
    ])
    .executeTakeFirstOrThrow()
}

/** Writes, and undoes it; throws when the database cannot be written. */
export async function tryWriting({ transact }: Database): Promise<void> {
  const undone = new Error('undone')
  try {
    await transact(async transaction => {
      await raiseRevision(transaction)
      throw undone
    })
  } catch (error) {
    if (error !== undone) throw error
  }
}

export interface IssuerChange {
  readonly from: string
  readonly to: string
  readonly now: number
}

/**
 * Gives the installation a new issuer, and ends all sessions; undefined when its issuer is not `from` any
 * more. Tokens of one issuer are of no use under another, but it may get its old name back one day, and they
 * would live again.
 */
export async function changeIssuer(
  { transact }: Writer,
  { from, to, now }: IssuerChange,
): Promise<EveryEnding | undefined> {
  return transact(async transaction =>
    (await setIssuer(transaction, from, to))
      ? endEverySession(transaction, { reason: 'issuer changed', now } satisfies End)
      : undefined,
  )
}

/**
 * Gives it a new issuer, and nothing else, in a larger transaction; false when its issuer is not `from` any
 * more.
 */
export async function setIssuer(transaction: Kysely<Tables>, from: string, to: string): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('installation')
    .set({ issuer: to })
    .where('issuer', '=', from)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return false
  await raiseRevision(transaction)
  return true
}
