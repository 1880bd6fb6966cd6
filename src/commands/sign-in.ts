import type { Command } from '@commander-js/extra-typings'
import {
  chooseSignIns,
  countChosen,
  listSignIns,
  revokeSignIns,
  type DescribedSignIn,
} from '../admin/sign-ins.ts'
import { formatCount, formatTime } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { showWork } from './shell/ending.ts'
import { CommandError, UsageError } from './shell/failures.ts'
import { signInId } from './shell/options.ts'
import type { Row } from './shell/output.ts'
import { confirm } from './shell/prompt.ts'

/** `mintmark sign-in`: the browsers in which somebody is logged in at the pages. */
export function signInCommands(program: Command, terminal: Terminal): void {
  const signIn = program
    .command('sign-in')
    .description('sign-ins: a browser each, in which a user is logged in at the pages')

  choosingVerb(signIn, 'list', 'show the sign-ins that live, the oldest first', [
    'mintmark sign-in list',
    'mintmark sign-in list --user alice',
  ]).action(
    command(terminal, async ({ open }, { user, id }) => {
      const admin = await open()
      return {
        columns: ['SIGN-IN', 'USER', 'LOGGED IN', 'LAST USED', 'EXPIRES', 'ADDRESS', 'BROWSER'],
        rows: rowsOf(listSignIns(admin, await chooseSignIns(admin, { user, id }))),
        none: 'There is no such sign-in.',
      }
    }),
  )

  choosingVerb(signIn, 'revoke', 'end sign-ins for good, and the sessions that end with them', [
    'mintmark sign-in revoke --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    'mintmark sign-in revoke --user alice',
    'mintmark sign-in revoke --all --yes',
  ])
    .option('--all', 'every sign-in there is')
    .option('--yes', 'do not ask')
    .addHelpText('after', howItEnds)
    .action(
      command(terminal, async (run, { all = false, yes, user, id }) => {
        if (all === (user !== undefined || id !== undefined))
          throw new UsageError('say which sign-ins: by --user or --id, or --all of them')
        const admin = await run.open()
        const chosen = await chooseSignIns(admin, { user, id })
        const total = await countChosen(admin, chosen)
        const words = chosen.username === undefined ? '' : ` of ${chosen.username}`
        if (total > 0) await confirm(run, `End ${formatCount(total, 'sign-in')}${words}?`, { yes })
        const work = (options: Parameters<Parameters<typeof showWork>[1]>[0]) =>
          revokeSignIns(admin, chosen, { total, ...options })
        const { ended, isDone } = await showWork(run, work, total, 'sign-in')
        if (!isDone) throw stoppedHalfway(ended, total)
        return {
          text: `Ended ${formatCount(ended, 'sign-in')}${words}, and the sessions that end with them.`,
          json: { sign_ins_revoked: ended, ...chosen.document },
        }
      }),
    )
}

/** A verb with the options that choose sign-ins. */
function choosingVerb(...named: Parameters<typeof verb>) {
  return verb(...named)
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--id <sign-in>', 'this one', signInId)
}

const howItEnds = `
They end one after the other; what is interrupted goes on when it is run again. Sessions with \`offline_access\` go on:
\`mintmark session revoke --user NAME\` ends all that a user has at once, sign-ins and log-ins under way too.`

const stoppedHalfway = (ended: number, total: number) =>
  new CommandError(
    `stopped: ${ended.toLocaleString('en-US')} of ${formatCount(total, 'sign-in')} have ended; run it again for the rest`,
  )

async function* rowsOf(signIns: AsyncIterable<DescribedSignIn>): AsyncGenerator<Row> {
  for await (const signIn of signIns) {
    const { sign_in, username, auth_time, used_at, expires_at, last_address, user_agent } = signIn
    const times = [auth_time, used_at, expires_at].map(formatTime)
    yield { cells: [sign_in, username, ...times, last_address, user_agent], json: signIn }
  }
}
