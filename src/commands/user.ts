import { Option, type Command } from '@commander-js/extra-typings'
import {
  createUser,
  deleteUser,
  describeUser,
  disableUser,
  enableUser,
  existingUser,
  listUsers,
  renameUser,
  setPassword,
  updateUser,
} from '../admin/users.ts'
import { inviteUser } from '../admin/invitation.ts'
import { refuseUsername } from '../admin/user-names.ts'
import { formatTime } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { answerUpdate, formatSetting } from './shell/differences.ts'
import { showEnding } from './shell/ending.ts'
import {
  claimNames,
  claims,
  groups,
  roles,
  rolesHelp,
  toChange,
  toClaimChanges,
  username,
} from './shell/options.ts'
import { facts } from './shell/output.ts'
import { readNewPassword } from './shell/prompt.ts'
import { userBulkCommands } from './user-bulk.ts'
import { userFactorCommands } from './user-factor.ts'
import { userColumns, userRows } from './user-rows.ts'

/** `mintmark user`: the people who log in. */
export function userCommands(program: Command, terminal: Terminal): void {
  const user = program.command('user').description('people who log in')

  verb(user, 'create', 'add a user', [
    'mintmark user create alice',
    'pass show alice | mintmark user create alice --password-stdin --role editor',
    'mintmark user create alice --claim given_name=Alice family_name=Doe email=alice@example.com address.country=DE',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .option('--role <role...>', rolesHelp, roles)
    .option('--group <group...>', 'groups that there are', groups)
    .option('--claim <name=value...>', 'standard claims, which apps learn by the scopes for them', claims)
    .action(
      command(terminal, async (run, name, { role = [], group = [], claim, passwordStdin }) => {
        const admin = await run.open()
        // Before a password is asked for.
        await refuseUsername(admin, name)
        const password = await readNewPassword(run, { passwordStdin })
        const user = { username: name, password, roles: role, groups: group, claims: toClaimChanges(claim) }
        const json = describeUser(await createUser(admin, user))
        const told = facts({
          sub: json.sub,
          roles: json.roles.join(' '),
          groups: json.groups.join(' '),
          ...Object.fromEntries(
            Object.entries(json.claims).map(([claim, value]) => [claim, formatSetting(claim, value)]),
          ),
        })
        return { text: `Created the user ${name}\n${told}`, json }
      }),
    )

  verb(
    user,
    'invite',
    'add a user, and mail a link that sets the first password; again, if it was not followed',
    [
      'mintmark user invite alice --email alice@example.com',
      'mintmark user invite bob --email bob@example.com --role editor --claim locale=de',
    ],
  )
    .argument('<name>', 'the name to log in with', username)
    .requiredOption('--email <address>', 'where the link goes; following it verifies the address')
    .option('--role <role...>', rolesHelp, roles)
    .option('--group <group...>', 'groups that there are', groups)
    .option('--claim <name=value...>', 'standard claims, which apps learn by the scopes for them', claims)
    .action(
      command(terminal, async ({ open, config }, name, { email, role = [], group = [], claim }) => {
        const given = { email, roles: role, groups: group, claims: toClaimChanges(claim) }
        const invitation = { username: name, ...given }
        const { user, isAgain, expiresAt } = await inviteUser(await open(), invitation)
        const where = config().smtp ? 'waits to be sent' : 'is shown where `mintmark dev` runs'
        const told = `Invited the user ${name}: a mail to ${email} ${where}.`
        const link = `Its link is good until ${formatTime(expiresAt)}.`
        return {
          text: `${told} ${link}${isAgain ? ' The link of before is good no more.' : ''}`,
          json: { ...describeUser(user), invitation_expires_at: expiresAt },
        }
      }),
    )

  verb(user, 'update', 'change what apps are told of a user; what is not given stays', [
    'mintmark user update alice --role admin editor@https://api.example',
    'mintmark user update alice --no-role',
    'mintmark user update alice --claim birthdate=1990-12-31 --no-claim nickname',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--role <role...>', rolesHelp, roles)
    .option('--no-role', 'none')
    .option('--claim <name=value...>', 'standard claims, which apps learn by the scopes for them', claims)
    .addOption(
      new Option('--no-claim [name...]', 'without these; all, if none is named').argParser(claimNames),
    )
    .action(
      command(terminal, async ({ open }, name, { role, claim }) => {
        const changes = { roles: toChange(role), claims: toClaimChanges(claim) }
        const differences = await updateUser(await open(), name, changes)
        return answerUpdate('user', name, differences)
      }),
    )

  verb(user, 'rename', 'give a user another name to log in with; sessions go on', [
    'mintmark user rename alice alice.doe',
  ])
    .argument('<name>', 'the name to log in with', username)
    .argument('<new-name>', 'the one from now on', username)
    .action(
      command(terminal, async ({ open }, name, newName) => {
        const { from, user } = await renameUser(await open(), name, newName)
        const text =
          from === user.username
            ? `The user is ${from} already.`
            : `Renamed the user ${from} to ${user.username}.`
        return { text, json: describeUser(user) }
      }),
    )

  verb(user, 'list', 'show all users', ['mintmark user list']).action(
    command(terminal, async ({ open }) => ({
      columns: userColumns,
      rows: userRows(listUsers(await open())),
      none: 'There is no user yet: `mintmark user create NAME` adds one.',
    })),
  )

  userFactorCommands(user, terminal)
  userBulkCommands(user, terminal)

  verb(user, 'passwd', 'set a new password, which ends all sessions of the user', [
    'mintmark user passwd alice',
  ])
    .argument('<name>', 'the name to log in with', username)
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .action(
      command(terminal, async (run, name, { passwordStdin }) => {
        const admin = await run.open()
        // Before a password is asked for.
        await existingUser(admin, name)
        const password = await readNewPassword(run, { passwordStdin })
        const { user } = await showEnding(run, to => setPassword(admin, name, password, to))
        return {
          text: `Set the password of ${name}. All sessions before it have ended.`,
          json: describeUser(user),
        }
      }),
    )

  verb(user, 'disable', 'refuse the user from now on, and end all sessions', ['mintmark user disable alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async (run, name) => {
        const admin = await run.open()
        const { user } = await showEnding(run, to => disableUser(admin, name, to))
        return {
          text: `Disabled the user ${name}. All sessions have ended; \`mintmark user enable ${name}\` allows new ones.`,
          json: describeUser(user),
        }
      }),
    )

  verb(user, 'enable', 'let a disabled user log in again', ['mintmark user enable alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async ({ open }, name) => {
        const user = await enableUser(await open(), name)
        return { text: `Enabled the user ${name}.`, json: describeUser(user) }
      }),
    )

  verb(user, 'delete', 'remove a user for good, and end all sessions', ['mintmark user delete alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async (run, name) => {
        const admin = await run.open()
        const { user } = await showEnding(run, to => deleteUser(admin, name, to))
        return {
          text: `Deleted the user ${name}. All sessions have ended.`,
          json: { ...describeUser(user), deleted: true },
        }
      }),
    )
}
