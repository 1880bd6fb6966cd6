import type { Command } from '@commander-js/extra-typings'
import type { Database } from '../../../db/database.ts'
import type { UserTable } from '../../../db/schema.ts'
import { changeRoles, enableUser, findUser, insertUser, listUsers } from '../../../db/users/users.ts'
import { audited } from '../../../db/writer.ts'
import { endSessionsOfUser } from '../../endings/end.ts'
import type { RootKeys } from '../../keys/root/root-key.ts'
import { formatUuid, newUuid } from '../../protocol/secrets.ts'
import { openPasswords } from '../../users/passwords.ts'
import { formatTime } from '../../values/formats.ts'
import { itemsOf } from '../../values/list.ts'
import { differencesOf } from '../../admin/differences.ts'
import { answerUpdate } from '../shell/differences.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError } from '../shell/failures.ts'
import { optionalList, roles, username } from '../shell/options.ts'
import { facts, type Row } from '../shell/output.ts'
import { readNewPassword } from '../shell/prompt.ts'

/** `mintmark user`: the people who log in. */
export function userCommands(program: Command, terminal: Terminal): void {
  const user = program.command('user').description('people who log in')

  verb(user, 'create', 'add a user', [
    'mintmark user create alice',
    'pass show alice | mintmark user create alice --password-stdin --role editor',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .option('--role <role...>', 'what the claim `roles` of the tokens says', roles)
    .action(
      command(terminal, async (run, name, { role = [], passwordStdin }) => {
        const { db, rootKeys } = await run.open()
        if (await findUser(db, name)) throw nameTaken(name)
        const password = await readNewPassword(run, { passwordStdin })
        const hash = await passwordsOf(rootKeys).hash(password)
        const created: UserTable = {
          id: newUuid(run.clock.now()),
          username: name,
          ...hash,
          roles: role.join(' '),
          epoch: 0,
          created_at: run.clock.now(),
          disabled_at: null,
        }
        const entry = run.entry('user_created', { userId: created.id, detail: { username: name } })
        if (!(await insertUser(audited(db, entry), created))) throw nameTaken(name)
        return {
          text: `Created the user ${name}\n${facts({ sub: formatUuid(created.id), roles: created.roles })}`,
          json: describe(created),
        }
      }),
    )

  verb(user, 'update', 'change what the tokens of a user say; what is not given stays', [
    'mintmark user update alice --role admin editor',
    'mintmark user update alice --no-role',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--role <role...>', 'what the claim `roles` of the tokens says', roles)
    .option('--no-role', 'none')
    .action(
      command(terminal, async ({ open, entry }, name, { role }) => {
        const { db } = await open()
        const found = await existingUser(db, name)
        const before = itemsOf(found.roles)
        const after = optionalList(role, before)
        const differences = differencesOf({ roles: before }, { roles: after })
        const changed = entry('user_changed', { userId: found.id, detail: differences })
        const isChange = Object.keys(differences).length > 0
        if (isChange && !(await changeRoles(audited(db, changed), found.id, after.join(' '))))
          throw noUser(name)
        return answerUpdate('user', name, differences)
      }),
    )

  verb(user, 'list', 'show all users', ['mintmark user list']).action(
    command(terminal, async ({ open }) => {
      const { db } = await open()
      return {
        columns: ['NAME', 'SUB', 'ROLES', 'SINCE', 'DISABLED'],
        rows: userRows(db),
        none: 'There is no user yet: `mintmark user create NAME` adds one.',
      }
    }),
  )

  verb(user, 'passwd', 'set a new password, which ends all sessions of the user', [
    'mintmark user passwd alice',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .action(
      command(terminal, async (run, name, { passwordStdin }) => {
        const admin = await run.open()
        const found = await existingUser(admin.db, name)
        const typed = await readNewPassword(run, { passwordStdin })
        const password = await passwordsOf(admin.rootKeys).hash(typed)
        const end = { reason: 'password changed', password } as const
        if (!(await showEnding(run, to => endSessionsOfUser(admin, found.id, end, to)))) throw noUser(name)
        return {
          text: `Set the password of ${name}. All sessions before it have ended.`,
          json: describe(found),
        }
      }),
    )

  verb(user, 'disable', 'refuse the user from now on, and end all sessions', ['mintmark user disable alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async (run, name) => {
        const admin = await run.open()
        const found = await existingUser(admin.db, name)
        const end = { reason: 'user disabled' } as const
        const ended = await showEnding(run, to => endSessionsOfUser(admin, found.id, end, to))
        if (!ended) throw noUser(name)
        return {
          text: `Disabled the user ${name}. All sessions have ended; \`mintmark user enable ${name}\` allows new ones.`,
          json: describe({ ...found, disabled_at: ended.at }),
        }
      }),
    )

  verb(user, 'enable', 'let a disabled user log in again', ['mintmark user enable alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async ({ open, entry }, name) => {
        const { db } = await open()
        const found = await existingUser(db, name)
        if (!(await enableUser(audited(db, entry('user_enabled', { userId: found.id })), found.id)))
          throw noUser(name)
        return { text: `Enabled the user ${name}.`, json: describe({ ...found, disabled_at: null }) }
      }),
    )

  verb(user, 'delete', 'remove a user for good, and end all sessions', ['mintmark user delete alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async (run, name) => {
        const admin = await run.open()
        const found = await existingUser(admin.db, name)
        const end = { reason: 'user deleted', username: name } as const
        if (!(await showEnding(run, to => endSessionsOfUser(admin, found.id, end, to)))) throw noUser(name)
        return {
          text: `Deleted the user ${name}. All sessions have ended.`,
          json: { ...describe(found), deleted: true },
        }
      }),
    )
}

type ListedUser = Pick<UserTable, 'id' | 'username' | 'roles' | 'created_at' | 'disabled_at'>

const pageSize = 500

async function* userRows(db: Database): AsyncGenerator<Row> {
  for (let after = ''; ;) {
    const page = await listUsers(db, { after, limit: pageSize })
    for (const row of page) {
      const { username, roles, created_at, disabled_at } = row
      const cells = [username, formatUuid(row.id), roles, formatTime(created_at), formatTime(disabled_at)]
      yield { cells, json: describe(row) }
    }
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last.username
  }
}

function describe({ id, username, roles, created_at, disabled_at }: ListedUser) {
  return {
    sub: formatUuid(id),
    username,
    roles: roles === '' ? [] : roles.split(' '),
    created_at,
    disabled_at,
  }
}

function passwordsOf(rootKeys: RootKeys) {
  return openPasswords({ pepperOf: rootKeys.pepperOf, currentRootKeyId: () => rootKeys.currentId })
}

async function existingUser(db: Database, name: string): Promise<UserTable> {
  const found = await findUser(db, name)
  if (!found) throw noUser(name)
  return found
}

const nameTaken = (name: string) =>
  new CommandError(`there is a user ${name} already: \`mintmark user passwd ${name}\` sets another password`)

const noUser = (name: string) =>
  new CommandError(`there is no user ${name}: \`mintmark user list\` shows all`)
