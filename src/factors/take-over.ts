import type { UserTable } from '../../db/schema.ts'
import { findUser, insertUser } from '../../db/users/users.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { newUsernameProblem } from '../protocol/username.ts'
import { record, type Recorder } from '../record/record.ts'
import { readMovedUser } from '../users/moved-user.ts'
import { passwordProblem } from '../users/passwords.ts'

/** A log-in whose password is not that of a user here. */
export interface FailedLogIn {
  /** As it was typed. */
  readonly username: string
  readonly password: string
  readonly source: string | undefined
  /** The user of that name here, disabled ones included. */
  readonly user: UserTable | undefined
  readonly asker: Pick<Recorder, 'clock' | 'actor'>
}

/**
 * Asks the old system, if there is one, about a name that is unknown here, and takes the user over when it
 * says yes: so it says it once. Undefined where there is no such user there either; 503 where that is not
 * known. A name that is known here takes as long, and is not asked for.
 */
export async function takeOver(ctx: Context, logIn: FailedLogIn): Promise<UserTable | undefined> {
  const { passwordHook: hook } = ctx.users
  const { username, password, source, user } = logIn
  if (!hook || passwordProblem(password) !== undefined) return undefined
  if (user) {
    await hook.takeTime(source)
    return undefined
  }
  // No user could have the name. An old system may stumble over it, and so strangers could have it fail.
  if (newUsernameProblem(username) !== undefined) return undefined
  const members = await hook.ask({ username, password }, source)
  return members && insertMoved(ctx, logIn, members)
}

async function insertMoved(
  ctx: Context,
  { username, password, source, asker }: FailedLogIn,
  members: Readonly<Record<string, unknown>>,
): Promise<UserTable | undefined> {
  const { db, log, counts, clock, users } = ctx
  const { passwords, passwordHook: hook } = users
  const read = readMovedUser(members, username, { passwords, now: clock.now() })
  if ('problem' in read) throw unfit(read.problem)
  const row = { ...read.row, ...(await passwords.hash(password, source)) }
  const detail = { username: row.username, ...(hook && { from: hook.name }) }
  const created = { event: 'user_created', userId: row.id, detail } as const
  if (await record({ db, log, counts, ...asker }, created, db => insertUser(db, row))) {
    if (read.rolesLeftOut > 0)
      log.warn(
        { user_id: formatUuid(row.id) },
        'the password hook gave roles of this server, which are not taken',
      )
    return row
  }
  // Another log-in of the same user was quicker.
  const found = await findUser(db, username)
  if (!found) throw unfit('its sub or one of its names is that of another user here')
  const isRight = await passwords.verify(found, password, source)
  return isRight && found.disabled_at === null ? found : undefined
}

/** The old system says yes, so it would be wrong to say that the password is. */
function unfit(problem: string) {
  return unavailable(new Error(`the user of the password hook cannot be taken over: ${problem}`), 60)
}
