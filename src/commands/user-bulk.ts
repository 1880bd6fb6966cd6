import { resolve } from 'node:path'
import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { exportUsers } from '../admin/bulk/export.ts'
import { importUsers, tryImport } from '../admin/bulk/import.ts'
import type { RefusedEntry } from '../admin/bulk/parts.ts'
import { formatCount } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { CommandError } from './shell/failures.ts'
import { write } from './shell/output.ts'
import { openProgress } from './shell/progress.ts'

/** `mintmark user import` and `export`: all the users of another system at once. */
export function userBulkCommands(user: CommandUnknownOpts, terminal: Terminal): void {
  verb(user, 'import', 'add the users of a file, with the password hashes that they have', [
    'mintmark user import users.jsonl',
    'mintmark user import users.csv',
    'mintmark user import realm-users-0.json --dry-run',
  ])
    .argument(
      '<file>',
      'one JSON object a line; or .csv with a header; or .json, also as Keycloak exports it',
    )
    .option('--dry-run', 'only say what would be refused')
    .addHelpText('after', howItIsRead)
    .action(
      command(terminal, async (run, file, { dryRun = false }) => {
        const admin = await run.open()
        const path = resolve(run.workingDirectory, file)
        const stopping = new AbortController()
        const giveBack = run.onSignal(() => stopping.abort())
        const { created, refused, resumedAfter, isDone } = await (dryRun ? tryImport : importUsers)(
          admin,
          path,
          {
            onRefused: entry => run.note(describeRefused(entry)),
            showProgress: (noun, total) => openProgress(run, noun, total),
            signal: stopping.signal,
          },
        ).finally(giveBack)
        const counts = `${formatCount(created, 'user')} added, ${refused.toLocaleString('en-US')} refused`
        if (!isDone) throw new CommandError(`stopped: ${counts} so far; run it again for the rest`)
        if (refused > 0) run.fail(1)
        const earlier =
          resumedAfter === 0
            ? ''
            : `, ${resumedAfter.toLocaleString('en-US')} entries of it by an earlier run`
        return {
          text: `${dryRun ? 'Nothing was changed. An import would come to this:' : 'Imported'} ${path}: ${counts}${earlier}.`,
          json: {
            users_created: dryRun ? 0 : created,
            ...(dryRun && { users_to_create: created }),
            entries_refused: refused,
            resumed_after: resumedAfter,
          },
        }
      }),
    )

  verb(user, 'export', 'print all users, one JSON object a line, as `user import` takes them', [
    'mintmark user export > users.jsonl',
    'mintmark user export --with-hashes | age -r age1… > users.jsonl.age',
  ])
    .option('--with-hashes', 'also the password hashes; those of our own need the same root key')
    .action(
      command(terminal, async (run, { withHashes = false }) => {
        const admin = await run.open()
        let printed = 0
        const progress = openProgress(run, 'user')
        for await (const { lines, users } of exportUsers(admin, { withHashes })) {
          await write(run.stdout, lines)
          progress.at((printed += users))
        }
        progress.end()
        run.note(`Exported ${formatCount(printed, 'user')}${withHashes ? ' with password hashes' : ''}.`)
      }),
    )
}

const howItIsRead = `
An entry has a username, and what there is of: sub (a UUID, which the user keeps), email, email_verified and the other
standard claims, roles (a list, or names with spaces between), password_hash, disabled, created_at (seconds since 1970).
Hashes: argon2, bcrypt, scrypt, PBKDF2 (also Django's), Firebase's scrypt, SSHA of LDAP; Keycloak's are found in its export.
Each entry that is no user is named with its reason, and all others are added. What is interrupted goes on when it is run
again.`

/** `entry 12 (alice): there is a user of this name already`. */
function describeRefused({ entry, username, problem }: RefusedEntry): string {
  return `entry ${entry}${username === undefined ? '' : ` (${username})`}: ${problem}`
}
