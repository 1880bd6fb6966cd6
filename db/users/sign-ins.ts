import { sql as fragment, type ExpressionBuilder, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery, keptStatement } from '../kept-query.ts'
import type { SignInTable, Tables, UserTable } from '../schema.ts'
import type { End } from '../sessions/end-reasons.ts'
import { step } from '../steps.ts'
import type { Writer } from '../writer.ts'
import { isStillOfEpoch } from './epochs.ts'
import { setKnownSources } from './known-sources.ts'
import { removeSignIns, removeSignInsOfBrowser, type EndedSignIn, type SeenSignIn } from './sign-in-ends.ts'
import { surplusSignIns } from './sign-in-surplus.ts'

const signInById = keptQuery(
  (sql, id: Buffer) =>
    sql
      .selectFrom('sign_ins')
      .selectAll()
      .select(({ selectFrom }) =>
        selectFrom('installation').select('sign_in_epoch').$asScalar().as('present_epoch'),
      )
      .where('id', '=', id),
  ['uuid'],
)

const userById = keptQuery(
  (sql, id: Buffer) => sql.selectFrom('users').selectAll().where('id', '=', id),
  ['uuid'],
)

/** One in which no user is logged in any more, so it has none that could be taken for one. */
export interface LeftSignIn extends SignInTable {
  readonly username: string
}

/** A sign-in with its user. */
export interface FoundSignIn extends SignInTable {
  readonly user: UserTable
}

/**
 * Finds a sign-in that no epoch has ended, and whose user is not disabled; undefined for any other. Does NOT
 * check whether it has expired, nor its secret.
 */
export async function findSignIn(db: Database, id: Buffer): Promise<FoundSignIn | undefined> {
  const found = await findAnySignIn(db, id)
  return found?.isLeft === false ? found.signIn : undefined
}

/**
 * Finds one that a restored backup has ended, though its sessions go on: it logs no user in, but they can be
 * ended with it. Undefined for any other; checks no more than `findSignIn`.
 */
export async function findLeftSignIn(db: Database, id: Buffer): Promise<LeftSignIn | undefined> {
  const found = await findAnySignIn(db, id)
  if (!found?.isLeft) return undefined
  const { user, ...signIn } = found.signIn
  return { ...signIn, username: user.username }
}

async function findAnySignIn(
  db: Database,
  id: Buffer,
): Promise<{ readonly signIn: FoundSignIn; readonly isLeft: boolean } | undefined> {
  const [row] = await signInById(db, id)
  if (!row) return undefined
  const { present_epoch, ...signIn } = row
  const [user] = await userById(db, signIn.user_id)
  if (!user || user.epoch !== signIn.user_epoch || user.disabled_at !== null) return undefined
  return { signIn: { ...signIn, user }, isLeft: present_epoch !== signIn.sign_in_epoch }
}

/** The sign-in that a session ends with; undefined where it ends with none, or that has ended. */
export async function findSignInOfSession(
  { sql }: Database,
  sessionId: Buffer,
): Promise<Pick<SignInTable, 'id' | 'user_id'> | undefined> {
  return sql
    .selectFrom('sign_in_sessions')
    .innerJoin('sign_ins', 'sign_ins.id', 'sign_in_sessions.sign_in_id')
    .select(['sign_ins.id', 'sign_ins.user_id'])
    .where('sign_in_sessions.session_id', '=', sessionId)
    .executeTakeFirst()
}

/** Notes that a sign-in is used, and from where; false when that was noted since it was read. */
export async function touchSignIn(
  { sql }: Database,
  seen: Pick<SignInTable, 'id' | 'secret_hash' | 'used_at'>,
  { now, address }: { readonly now: number; readonly address: string },
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('sign_ins')
    .set({ used_at: now, last_address: address })
    .where('id', '=', seen.id)
    .where('secret_hash', '=', seen.secret_hash)
    .where('used_at', '=', seen.used_at)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** The user as read before the password was checked, and what else a log-in has learned. */
export interface SignInUser {
  readonly user: Pick<UserTable, 'id' | 'epoch'>
  /** Those of the user from now on, where they have changed. */
  readonly knownSources: Buffer | undefined
}

export type NewSignIn = Omit<SignInTable, 'user_id' | 'user_epoch' | 'sign_in_epoch'>

export interface AddedSignIn {
  readonly signIn: SignInTable
  /** Those that the same browser had. */
  readonly replaced: readonly EndedSignIn[]
  /** Those of the user that were too many. */
  readonly surplus: readonly EndedSignIn[]
}

/** Why others end with a log-in. */
export interface EndsOfOthers {
  readonly replaced: { readonly signIn: SeenSignIn; readonly end: End } | undefined
  /** How many sign-ins the user may have, and why the others end. */
  readonly bound: { readonly signInsMax: number; readonly end: End }
}

/**
 * Adds a sign-in, if the user's epoch is still the one that was read before the password was checked, and
 * ends those that the same browser had, and those that are too many; undefined when it was not added. On
 * PostgreSQL log-ins at the same moment do not see each other, so that there may be as many more until the
 * next one.
 */
export async function insertSignIn(
  { engine, transactAtOnce }: Writer,
  signIn: NewSignIn,
  { user, knownSources }: SignInUser,
  { replaced, bound }: EndsOfOthers,
): Promise<AddedSignIn | undefined> {
  return transactAtOnce(function* (sql) {
    if (!(yield* isStillOfEpoch(sql, user, engine))) return undefined
    const row = { ...signIn, user_id: user.id, user_epoch: user.epoch }
    const [added] = (yield* addSignIn(sql, row)).rows
    if (!added) throw new Error('unreachable: a row that was inserted is returned')
    if (knownSources) yield* setKnownSources(sql, { user_id: user.id, sources: knownSources })
    const removed = replaced ? yield* removeSignInsOfBrowser(sql, replaced.signIn, replaced.end) : []
    const surplus = yield* surplusSignIns(sql, added, bound.signInsMax)
    return { signIn: added, replaced: removed, surplus: yield* removeSignIns(sql, surplus, bound.end) }
  })
}

const addSignIn = keptStatement((sql, row: Omit<SignInTable, 'sign_in_epoch'>) =>
  sql
    .insertInto('sign_ins')
    .values({
      ...row,
      sign_in_epoch: ({ selectFrom }) => selectFrom('installation').select('sign_in_epoch'),
    })
    .returningAll(),
)

/** What a step up gives a sign-in. */
export type SignInRenewal = Omit<NewSignIn, 'id' | 'created_at' | 'first_address'>

/**
 * Gives a sign-in another secret and log-in, if it still has the secret that was seen and no epoch of its
 * user has ended it; undefined otherwise. One that was left by a restored backup is whole again.
 */
export async function renewSignIn(
  { engine, transactAtOnce }: Writer,
  seen: Pick<SignInTable, 'id' | 'secret_hash'>,
  renewal: SignInRenewal,
  { user, knownSources }: SignInUser,
): Promise<SignInTable | undefined> {
  return transactAtOnce(function* (sql) {
    if (!(yield* isStillOfEpoch(sql, user, engine))) return undefined
    const renewedRow = sql
      .updateTable('sign_ins')
      .set(renewal)
      .set({
        sign_in_epoch: ({ selectFrom }) => selectFrom('installation').select('sign_in_epoch'),
      })
      .where('id', '=', seen.id)
      .where('secret_hash', '=', seen.secret_hash)
      .where('user_id', '=', user.id)
      .where('user_epoch', '=', user.epoch)
      .returningAll()
    const [renewed] = (yield* step(renewedRow.compile())).rows
    if (renewed && knownSources) yield* setKnownSources(sql, { user_id: user.id, sources: knownSources })
    return renewed
  })
}

/** The sign-in from which its user ends all others. */
export interface KeptSignIn extends Pick<SignInTable, 'id' | 'user_epoch' | 'secret_hash'> {
  /** Instead of its secret, where it is to get another one. */
  readonly newSecretHash?: Buffer
  /** Whether the sessions that end with it go on as well. */
  readonly withSessions: boolean
}

/** Whether it is as it was seen, and its user too: a condition on the user's row. */
export function isKept(
  { and, eb, exists, selectFrom }: ExpressionBuilder<Tables, 'users'>,
  { id, user_epoch, secret_hash }: KeptSignIn,
) {
  return and([
    eb('users.epoch', '=', user_epoch),
    eb('users.disabled_at', 'is', null),
    exists(
      selectFrom('sign_ins')
        .select('sign_ins.id')
        .where('sign_ins.id', '=', id)
        .where('sign_ins.secret_hash', '=', secret_hash)
        .whereRef('sign_ins.user_id', '=', 'users.id')
        .where('sign_ins.user_epoch', '=', user_epoch),
    ),
  ])
}

/** Lets it go on in the epoch of its user that has just begun, in the same transaction. */
export async function keepSignIn(
  transaction: Transaction<Tables>,
  { id, user_epoch, secret_hash, newSecretHash, withSessions }: KeptSignIn,
  epoch: number,
): Promise<void> {
  await transaction
    .updateTable('sign_ins')
    .set({ user_epoch: epoch, secret_hash: newSecretHash ?? secret_hash })
    .where('id', '=', id)
    .where('user_epoch', '=', user_epoch)
    .execute()
  if (!withSessions) return
  await transaction
    .updateTable('sessions')
    .set({ user_epoch: epoch })
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('sign_in_sessions').select('session_id').where('sign_in_id', '=', id),
    )
    .where('user_epoch', '=', user_epoch)
    .where('revoked_at', 'is', null)
    .execute()
}

/** In the transaction that deletes the user, which has ended the sessions too. */
export async function forgetSignInsOfUser(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  await transaction.deleteFrom('sign_ins').where('user_id', '=', userId).execute()
}

/**
 * Ends every sign-in there is, in the transaction of what that is for. Their rows stay until they would have
 * expired, since sessions that end with them may go on.
 */
export async function endEverySignIn(transaction: Kysely<Tables>): Promise<void> {
  await transaction
    .updateTable('installation')
    .set({ sign_in_epoch: fragment`sign_in_epoch + 1` })
    .execute()
}
