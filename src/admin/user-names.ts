import type { BeforeMigration } from '../../db/installation/migrate.ts'
import type { UserTable } from '../../db/schema.ts'
import { comparedNamesOf } from '../../db/users/compared-name.ts'
import {
  listUnnamed,
  nameUser,
  NameTakenError,
  renameRow,
  unverifyMailRow,
} from '../../db/users/user-names.ts'
import { findUser } from '../../db/users/users.ts'
import { addAuditEntries } from '../../db/writer.ts'
import { Refusal } from '../errors.ts'
import { newUsernameProblem } from '../protocol/username.ts'
import { auditEntry, type Recorder } from '../record/record.ts'
import type { Admin } from './admin.ts'

/** Refuses a name that no user should be given, or that another one has. */
export async function refuseUsername({ db }: Pick<Admin, 'db'>, username: string): Promise<void> {
  refuseOddName(username)
  const holder = await findUser(db, username)
  if (holder) throw nameTaken(holder, username)
}

export function refuseOddName(username: string): void {
  const problem = newUsernameProblem(username)
  if (problem !== undefined) throw new Refusal('invalid', problem)
}

/** Does what changes a user's names; a name of another user is refused in words that say whose it is. */
export async function keepingNames<T>(
  { db }: Pick<Admin, 'db'>,
  user: Pick<UserTable, 'id' | 'username' | 'claims'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof NameTakenError) throw await nameRefusal(db, user)
    throw error
  }
}

/** Which of the names of a user who could not get them is whose. */
export async function nameRefusal(
  db: Admin['db'],
  user: Pick<UserTable, 'id' | 'username' | 'claims'>,
): Promise<Refusal> {
  for (const { name, kind } of comparedNamesOf(user)) {
    const holder = await findUser(db, name)
    if (!holder || holder.id.equals(user.id)) continue
    return kind === 'mail' ? mailTaken(holder, name) : nameTaken(holder, user.username)
  }
  return nameTaken(user, user.username) // its owner has just given it up
}

const nameTaken = (holder: Pick<UserTable, 'username'>, username: string) =>
  holder.username === username.normalize('NFC')
    ? new Refusal(
        'conflict',
        `there is a user ${username} already`,
        `\`mintmark user passwd ${username}\` sets another password`,
      )
    : new Refusal(
        'conflict',
        `the user ${holder.username} has the name ${username} already: names are compared without case and width, and ` +
          'a verified mail address is a name too',
      )

const mailTaken = (holder: Pick<UserTable, 'username'>, address: string) =>
  new Refusal(
    'conflict',
    `the mail address ${address} is a name of the user ${holder.username} already, and so cannot be verified for another`,
    'leave out `email_verified=true`, or take the address from that user first',
  )

export interface NameDecisions {
  readonly renames: readonly { readonly from: string; readonly to: string }[]
  /** The user names of those whose mail address counts as verified no more. */
  readonly unverified: readonly string[]
}

/**
 * What an administrator has decided about names of different users that are one name: done in the transaction
 * of the migration that compares them.
 */
export function decideNames(
  by: Pick<Recorder, 'clock' | 'actor'>,
  { renames, unverified }: NameDecisions,
): BeforeMigration {
  return async (transaction, pending) => {
    if (!pending.includes('0003-factors')) throw nothingToDecide()
    for (const { from, to } of renames) {
      refuseOddName(to)
      const userId = await renameRow(transaction, from, to)
      if (userId === 'taken') throw new Refusal('conflict', `there is a user ${to} already`)
      if (!userId) throw unknown(from)
      const renamed = { event: 'user_renamed', userId, detail: { from, to } } as const
      await addAuditEntries(transaction, [auditEntry(by, renamed)])
    }
    for (const username of unverified) {
      const userId = await unverifyMailRow(transaction, username)
      if (!userId) throw unknown(username)
      const changed = { event: 'user_changed', userId, detail: { claims: ['email_verified'] } } as const
      await addAuditEntries(transaction, [auditEntry(by, changed)])
    }
  }
}

/** Once names are compared, each user is renamed by itself. */
export function nothingToDecide(): Refusal {
  return new Refusal(
    'conflict',
    'the database compares names already, so there is nothing to decide',
    '`mintmark user rename OLD NEW` gives a user another name',
  )
}

const unknown = (username: string) =>
  new Refusal('not_found', `there is no user who is called exactly ${username}, so nothing was migrated`)

/** Notes the names of users whom an older program has added beside this one; returns of how many. */
export async function nameLateUsers({ db }: Pick<Admin, 'db'>): Promise<number> {
  let named = 0
  for await (const { id } of listUnnamed(db)) if (await nameUser(db, id)) named++
  return named
}
