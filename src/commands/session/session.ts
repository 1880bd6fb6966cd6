import type { Command } from '@commander-js/extra-typings'
import { countSessions, listSessions, type ListedSession } from '../../../db/sessions/pages.ts'
import { formatUuid } from '../../protocol/secrets.ts'
import { counted, formatTime } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { duration, resourceUri, sessionId } from '../shell/options.ts'
import { type Row } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'
import { noticeOf, revokeChosen } from './revocation.ts'
import { choose } from './session-choice.ts'
import { summarize } from './session-summary.ts'

const age = duration(1, 3650 * 86_400)

/** `mintmark session`: the log-ins, and the machine session of each client that uses `client_credentials`. */
export function sessionCommands(program: Command, terminal: Terminal): void {
  const session = program.command('session').description('log-ins, each with its family of tokens')

  verb(session, 'list', 'show sessions, the oldest first', [
    'mintmark session list',
    'mintmark session list --user alice --client web',
    'mintmark session list --resource https://api.example --idle-for 7d',
    'mintmark session list --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11 --ended',
    'mintmark session list --summary',
  ])
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--client <client_id>', 'of this client')
    .option('--resource <uri>', 'whose tokens may be for this API', resourceUri)
    .option('--id <sid>', 'this one', sessionId)
    .option('--older-than <duration>', 'that began so long ago, or longer', age)
    .option('--idle-for <duration>', 'that were not used for so long', age)
    .option('--ended', 'also those that were revoked, or have expired')
    .option('--summary', 'only how many there are, of each client and in each state')
    .action(
      command(terminal, async (run, { ended = false, summary = false, ...choice }) => {
        if (summary && (ended || Object.keys(choice).some(name => name !== 'json'))) {
          throw new UsageError('--summary is about all sessions: leave the other options out')
        }
        const { db } = await run.open()
        if (summary) return summarize(run, db)
        const now = run.clock.now()
        const { filter } = await choose(db, choice, now)
        return {
          columns: ['SID', 'USER', 'CLIENT_ID', 'SINCE', 'LAST USED', 'EXPIRES', ...(ended ? ['STATE'] : [])],
          rows: rowsOf(listSessions(db, ended ? filter : { ...filter, livingAt: now }), { now, ended }),
          none: 'There is no such session.',
        }
      }),
    )

  verb(session, 'revoke', 'end sessions for good', [
    'mintmark session revoke --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    'mintmark session revoke --user alice',
    'mintmark session revoke --client web --older-than 30d',
    'mintmark session revoke --all --yes',
  ])
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--client <client_id>', 'of this client')
    .option('--resource <uri>', 'whose tokens may be for this API', resourceUri)
    .option('--id <sid>', 'this one', sessionId)
    .option('--older-than <duration>', 'that began so long ago, or longer', age)
    .option('--idle-for <duration>', 'that were not used for so long', age)
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
        const { config, db } = admin
        const chosen = await choose(db, choice, run.clock.now())
        const count = await countSessions(db, { ...chosen.filter, livingAt: run.clock.now() })
        if (count === 0 && choice.id) throw notLiving(choice.id)
        if (count > 0) await confirm(run, `End ${counted(count, 'session')}${chosen.words}?`, { yes })
        const ended = await revokeChosen(run, admin, chosen, count)
        return {
          text: `Ended ${counted(ended, 'session')}${chosen.words}.${ended > 0 ? `\n${noticeOf(config)}` : ''}`,
          json: { sessions_revoked: ended, ...chosen.json },
        }
      }),
    )
}

const howItEnds = `
Sessions of one user, of one client, or all, end at once, and so do log-ins under way: nothing can be done with them from
the first moment. Other choices end one after the other. What is interrupted goes on when it is run again.`

async function* rowsOf(
  sessions: AsyncIterable<ListedSession>,
  { now, ended }: { readonly now: number; readonly ended: boolean },
): AsyncGenerator<Row> {
  for await (const session of sessions) {
    const { id, user_id, client_id, username, auth_time, rotated_at, expires_at, isOfThisEpoch, ...rest } =
      session
    const state = stateOf(session, now)
    const sid = formatUuid(id)
    const isMachine = user_id === null
    const user = username ?? (isMachine ? '(machine)' : '(deleted)')
    const times = [formatTime(auth_time), formatTime(rotated_at), isMachine ? '' : formatTime(expires_at)]
    yield {
      cells: [sid, user, client_id, ...times, ...(ended ? [state] : [])],
      json: {
        sid,
        sub: user_id && formatUuid(user_id),
        username,
        client_id,
        state,
        auth_time,
        rotated_at,
        expires_at,
        ...rest,
      },
    }
  }
}

function stateOf(
  { revoked_at, revoke_reason, expires_at, isOfThisEpoch }: ListedSession,
  now: number,
): string {
  if (revoked_at !== null) return `revoked (${revoke_reason})`
  if (!isOfThisEpoch) return 'ended with its user or client'
  return expires_at > now ? 'living' : 'expired'
}

const notLiving = (id: Buffer) =>
  new CommandError(
    `no such session lives: \`mintmark session list --id ${formatUuid(id)} --ended\` shows what became of it`,
  )
