import type { Command } from '@commander-js/extra-typings'
import type { Admin } from '../../admin/admin.ts'
import {
  chooseSessions,
  countChosen,
  listSessions,
  revokeSessions,
  type BoundedCount,
  type ChosenSessions,
  type DescribedSession,
} from '../../admin/sessions.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showWork, stoppedEnding } from '../shell/ending.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { duration, resourceUri, sessionId } from '../shell/options.ts'
import type { Row } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'
import { summarize } from './session-summary.ts'

const age = duration(1, 3650 * 86_400)

/** `mintmark session`: those of users, and the machine session of each client with `client_credentials`. */
export function sessionCommands(program: Command, terminal: Terminal): void {
  const session = program
    .command('session')
    .description('sessions: one log-in each, with its family of tokens')

  choosingVerb(session, 'list', 'show sessions, the oldest first', [
    'mintmark session list',
    'mintmark session list --user alice --client web',
    'mintmark session list --resource https://api.example --idle-for 7d',
    'mintmark session list --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11 --ended',
    'mintmark session list --summary',
  ])
    .option('--ended', 'also those that were revoked, or have expired')
    .option('--summary', 'only how many there are, of each client and in each state')
    .action(
      command(terminal, async (run, { ended = false, summary = false, ...choice }) => {
        if (summary && (ended || Object.keys(choice).some(name => name !== 'json'))) {
          throw new UsageError('--summary is about all sessions: leave the other options out')
        }
        const admin = await run.open()
        if (summary) return summarize(run, admin)
        const chosen = await chooseSessions(admin, choice)
        return {
          columns: ['SID', 'USER', 'CLIENT_ID', 'SINCE', 'LAST USED', 'EXPIRES', ...(ended ? ['STATE'] : [])],
          rows: rowsOf(listSessions(admin, chosen, { ended }), ended),
          none: 'There is no such session.',
        }
      }),
    )

  choosingVerb(session, 'revoke', 'end sessions for good', [
    'mintmark session revoke --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    'mintmark session revoke --user alice',
    'mintmark session revoke --client web --older-than 30d',
    'mintmark session revoke --all --yes',
  ])
    .option('--all', 'every session there is')
    .option('--yes', 'do not ask')
    .addHelpText('after', howItEnds)
    .action(
      command(terminal, async (run, { all = false, yes, ...choice }) => {
        const isNarrowed = Object.keys(choice).some(name => name !== 'json')
        if (all === isNarrowed) {
          throw new UsageError(
            'say which sessions: by --user, --client, --resource, --id, --older-than or --idle-for (or several), ' +
              'or --all of them',
          )
        }
        const admin = await run.open()
        const chosen = await chooseSessions(admin, choice)
        const total = await countChosen(admin, chosen)
        const words = wordsOf(chosen)
        if (total.count > 0 || total.isMore) await confirm(run, `End ${countText(total)}${words}?`, { yes })
        const ended = await revoke(run, admin, chosen, total)
        return {
          text: `Ended ${formatCount(ended, 'session')}${words}.${ended > 0 ? `\n${noticeOf(admin.config)}` : ''}`,
          json: { sessions_revoked: ended, ...chosen.document },
        }
      }),
    )
}

/** A verb with the options that choose sessions. */
function choosingVerb(...named: Parameters<typeof verb>) {
  return verb(...named)
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--client <client_id>', 'of this client')
    .option('--resource <uri>', 'whose tokens may be for this API', resourceUri)
    .option('--id <sid>', 'this one', sessionId)
    .option('--older-than <duration>', 'that began so long ago, or longer', age)
    .option('--idle-for <duration>', 'that were not used for so long', age)
}

const howItEnds = `
Sessions of one user, of one client, or all, end at once, and so do log-ins under way: nothing can be done with them from
the first moment. Other choices end one after the other. What is interrupted goes on when it is run again.`

/** Ends the chosen sessions, shows how far that has come, and returns how many there were. */
async function revoke(
  run: Run,
  admin: Admin,
  chosen: ChosenSessions,
  counted: BoundedCount,
): Promise<number> {
  const { count, isMore } = counted
  const total = isMore ? Infinity : count
  const shown = isMore ? undefined : count
  const done = await showWork(run, options => revokeSessions(admin, chosen, { total, ...options }), shown)
  if (done.isDone) return done.ended
  throw done.isAtOnce ? stoppedEnding(done) : stoppedHalfway(done.ended, counted)
}

const stoppedHalfway = (ended: number, total: BoundedCount) =>
  new CommandError(
    `stopped: ${ended.toLocaleString('en-US')} of ${countText(total)} have ended; run it again for the rest`,
  )

/** `2 sessions`, `10,000 sessions or more`. */
const countText = ({ count, isMore }: BoundedCount) =>
  `${formatCount(count, 'session')}${isMore ? ' or more' : ''}`

/** ` of alice through web`, or nothing. */
function wordsOf({ choice, username }: ChosenSessions): string {
  const { client, resource, olderThan, idleFor } = choice
  const words = [
    username !== undefined && `of ${username}`,
    client !== undefined && `through ${client}`,
    resource !== undefined && `for ${resource}`,
    olderThan !== undefined && `older than ${formatDuration(olderThan)}`,
    idleFor !== undefined && `idle for ${formatDuration(idleFor)}`,
  ].filter(word => word !== false)
  return words.map(word => ` ${word}`).join('')
}

/** When resource servers learn of it, for people. */
function noticeOf({ statusListDelaySeconds, accessTokenSeconds }: Admin['config']): string {
  return (
    'Their access tokens are refused by introspection now, where the status list is followed within ' +
    `${formatDuration(statusListDelaySeconds)}, and elsewhere when they run out (${formatDuration(accessTokenSeconds)}).`
  )
}

async function* rowsOf(sessions: AsyncIterable<DescribedSession>, ended: boolean): AsyncGenerator<Row> {
  for await (const session of sessions) {
    const { sid, sub, username, client_id, state, auth_time, rotated_at, expires_at } = session
    const isMachine = sub === null
    const user = username ?? (isMachine ? '(machine)' : '(deleted)')
    const times = [formatTime(auth_time), formatTime(rotated_at), isMachine ? '' : formatTime(expires_at)]
    yield { cells: [sid, user, client_id, ...times, ...(ended ? [state] : [])], json: session }
  }
}
