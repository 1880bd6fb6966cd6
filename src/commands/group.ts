import type { Command } from '@commander-js/extra-typings'
import {
  createGroup,
  deleteGroup,
  describeGroup,
  listGroups,
  listMembers,
  setMembership,
  showGroup,
  updateGroup,
} from '../admin/groups.ts'
import { describeUser } from '../admin/users.ts'
import { formatCount, formatTime } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { answerUpdate } from './shell/differences.ts'
import { groupName, groupRolesHelp, roles, usernames } from './shell/options.ts'
import { facts } from './shell/output.ts'
import { openProgress } from './shell/progress.ts'
import { userColumns, userRows } from './user-rows.ts'

/** `mintmark group`: users who have roles together. */
export function groupCommands(program: Command, terminal: Terminal): void {
  const group = program.command('group').description('people who have roles together')

  verb(group, 'create', 'add a group', [
    'mintmark group create staff --role editor',
    'mintmark group create admins --role mintmark:admin editor@https://api.example',
  ])
    .argument('<name>', 'what it is called, also in the claim `groups`', groupName)
    .option('--role <role...>', groupRolesHelp, roles)
    .action(
      command(terminal, async ({ open }, name, { role = [] }) => {
        const json = describeGroup(await createGroup(await open(), { name, roles: role }))
        return {
          text: `Created the group ${name}\n${facts({ roles: json.roles.join(' ') || 'none' })}`,
          json,
        }
      }),
    )

  verb(group, 'list', 'show all groups', ['mintmark group list']).action(
    command(terminal, async ({ open }) => ({
      columns: ['NAME', 'ROLES', 'SINCE'],
      rows: (await listGroups(await open())).map(describeGroup).map(json => ({
        cells: [json.name, json.roles.join(' '), formatTime(json.created_at)],
        json,
      })),
      none: 'There is no group yet: `mintmark group create NAME` adds one.',
    })),
  )

  verb(group, 'show', 'show one group, and how many members it has', ['mintmark group show staff'])
    .argument('<name>', 'its name', groupName)
    .action(
      command(terminal, async ({ open }, name) => {
        const { group, members } = await showGroup(await open(), name)
        const { roles, created_at } = describeGroup(group)
        const told = {
          roles: roles.join(' ') || 'none',
          members: String(members),
          since: formatTime(created_at),
        }
        return { text: `The group ${name}\n${facts(told)}`, json: { ...describeGroup(group), members } }
      }),
    )

  verb(group, 'members', 'show the users in a group', ['mintmark group members staff'])
    .argument('<name>', 'its name', groupName)
    .action(
      command(terminal, async ({ open }, name) => {
        const admin = await open()
        await showGroup(admin, name)
        const none = `Nobody is in it: \`mintmark group add-user ${name} USER\` changes that.`
        return { columns: userColumns, rows: userRows(listMembers(admin, name)), none }
      }),
    )

  verb(group, 'update', 'change the roles of a group', [
    'mintmark group update staff --role editor reviewer',
    'mintmark group update staff --no-role',
  ])
    .argument('<name>', 'its name', groupName)
    .option('--role <role...>', `${groupRolesHelp}, instead of those that it had`, roles)
    .option('--no-role', 'none')
    .action(
      command(terminal, async ({ open }, name, { role }) => {
        const roles = typeof role === 'object' ? role : role === false ? [] : undefined
        const admin = await open()
        const { differences } = roles ? await updateGroup(admin, name, roles) : { differences: {} }
        return answerUpdate('group', name, differences)
      }),
    )

  memberCommand(group, terminal, 'add-user', 'put users into a group', true)
  memberCommand(group, terminal, 'remove-user', 'take users out of a group', false)

  verb(group, 'delete', 'remove a group', ['mintmark group delete staff --force'])
    .argument('<name>', 'its name', groupName)
    .option('--force', 'take its members out of it')
    .action(
      command(terminal, async (run, name, { force = false }) => {
        const progress = openProgress(run, 'member')
        const admin = await run.open()
        await deleteGroup(admin, name, { force, onProgress: progress.at }).finally(progress.end)
        return {
          text: `Deleted the group ${name}. The next tokens of its members say so.`,
          json: { name, deleted: true },
        }
      }),
    )
}

function memberCommand(
  group: ReturnType<Command['command']>,
  terminal: Terminal,
  name: string,
  description: string,
  isMember: boolean,
): void {
  verb(group, name, description, [`mintmark group ${name} staff alice bob`])
    .argument('<name>', 'its name', groupName)
    .argument('<user...>', 'the names to log in with', usernames)
    .action(
      command(terminal, async ({ open }, name, users) => {
        const admin = await open()
        const changed: object[] = []
        for (const user of users) {
          const { user: after, isChanged } = await setMembership(admin, name, user, isMember)
          if (isChanged) changed.push(describeUser(after))
        }
        const done = isMember
          ? `Put ${formatCount(changed.length, 'user')} into`
          : `Took ${formatCount(changed.length, 'user')} out of`
        const rest = changed.length < users.length ? ` The others were ${isMember ? 'in' : 'not in'} it.` : ''
        return {
          text: `${done} the group ${name}: their next tokens say so.${rest}`,
          json: { name, changed },
        }
      }),
    )
}
