import type { Command } from '@commander-js/extra-typings'
import { findClient, raiseClientEpochs } from '../../db/clients.ts'
import type { Database, UserTable } from '../../db/database.ts'
import {
  listSessions,
  revokeSessions,
  type ListedSession,
  type SessionFilter,
} from '../../db/session-pages.ts'
import { findUser, findUserById, raiseUserEpoch } from '../../db/users.ts'
import { logRevocation } from '../audit.ts'
import { formatDuration } from '../protocol/duration.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import { command, verb, type Run, type Terminal } from './command.ts'
import { CommandError, UsageError } from './failures.ts'
import { sessionId } from './options.ts'
import { counted, formatTime, type Row } from './output.ts'
import { confirm } from './prompt.ts'

/** `mintmark session`: the log-ins, and the machine session of each client that uses `client_credentials`. */
export function sessionCommands(program: Command, terminal: Terminal): void {
  const session = program.command('session').description('log-ins, each with its family of tokens')

  verb(session, 'list', 'show sessions, the oldest first', [
    'mintmark session list',
    'mintmark session list --user alice --client web',
    'mintmark session list --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11 --ended',
  ])
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--client <client_id>', 'of this client')
    .option('--id <sid>', 'this one', sessionId)
    .option('--ended', 'also those that were revoked, or have expired')
    .action(
      command(terminal, async (run, { ended = false, ...choice }) => {
        const { db } = await run.open()
        const now = run.now()
        const { filter } = await choose(db, choice)
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
    'mintmark session revoke --all --yes',
  ])
    .option('--user <name>', 'of this user: the name or the sub')
    .option('--client <client_id>', 'of this client')
    .option('--id <sid>', 'this one', sessionId)
    .option('--all', 'every session there is')
    .option('--yes', 'do not ask')
    .action(
      command(terminal, async (run, { all = false, yes, ...choice }) => {
        const isNarrowed = Object.keys(choice).some(name => name !== 'json')
        if (all === isNarrowed) {
          throw new UsageError(
            'say which sessions: by --user, --client or --id (or several), or --all of them',
          )
        }
        const { config, db } = await run.open()
        const chosen = await choose(db, choice)
        const count = await countOf(listSessions(db, { ...chosen.filter, livingAt: run.now() }))
        if (count === 0 && choice.id) throw notLiving(choice.id)
        if (count > 0) await confirm(run, `End ${counted(count, 'session')}${chosen.words}?`, { yes })
        await revoke(run, db, chosen, count)
        const ttl = formatDuration(config.accessTokenSeconds)
        const rest = `Their access tokens are refused by introspection; where they are verified offline, they run out (${ttl}).`
        return {
          text: `Ended ${counted(count, 'session')}${chosen.words}.${count > 0 ? `\n${rest}` : ''}`,
          json: { sessions_revoked: count, ...chosen.json },
        }
      }),
    )
}

interface Choice {
  readonly user?: string | undefined
  readonly client?: string | undefined
  readonly id?: Buffer | undefined
}

interface Chosen {
  readonly filter: SessionFilter
  /** ` of alice through web`. */
  readonly words: string
  readonly json: { readonly sub?: string; readonly client_id?: string; readonly sid?: string }
}

async function choose(db: Database, { user, client, id }: Choice): Promise<Chosen> {
  const found = user === undefined ? undefined : await userOf(db, user)
  if (client !== undefined && !(await findClient(db, client))) {
    throw new CommandError(`there is no client ${client}: \`mintmark client list\` shows all`)
  }
  return {
    filter: {
      ...(found && { userId: found.id }),
      ...(client !== undefined && { clientId: client }),
      ...(id && { id }),
    },
    words: (found ? ` of ${found.username}` : '') + (client === undefined ? '' : ` through ${client}`),
    json: {
      ...(found && { sub: formatUuid(found.id) }),
      ...(client !== undefined && { client_id: client }),
      ...(id && { sid: formatUuid(id) }),
    },
  }
}

async function userOf(db: Database, text: string): Promise<UserTable> {
  const id = parseUuid(text.toLowerCase())
  const found = id ? await findUserById(db, id) : await findUser(db, text.normalize('NFC'))
  if (!found) throw new CommandError(`there is no user ${text}: \`mintmark user list\` shows all`)
  return found
}

/** How many are ended in one transaction: few enough that nobody waits for it. */
const batchSize = 200

/**
 * Ends all at once where an epoch can do it, which also stops log-ins that are under way; then writes each session's own
 * end, in batches, from which others learn of it.
 */
async function revoke(run: Run, db: Database, { filter }: Chosen, count: number): Promise<void> {
  const { id, userId, clientId } = filter
  const end = { now: run.now(), reason: 'command' }
  const audit = { reason: end.reason, at: end.now }
  const isByEpoch = !id && !(userId && clientId !== undefined)
  if (isByEpoch && userId) {
    await raiseUserEpoch(db, userId)
    logRevocation(run.log, { event: 'user_revoked', sub: formatUuid(userId) }, audit)
  } else if (isByEpoch) {
    for (const client_id of await raiseClientEpochs(db, clientId)) {
      logRevocation(run.log, { event: 'client_revoked', client_id }, audit)
    }
  }

  let ended = 0
  let batch: Buffer[] = []
  const flush = async () => {
    const revoked = batch.length === 0 ? [] : await revokeSessions(db, batch, end)
    batch = []
    ended += revoked.length
    if (count > 10 * batchSize && ended % (10 * batchSize) < batchSize)
      run.note(`${ended} of ${count} sessions`)
    if (isByEpoch) return
    for (const sid of revoked)
      logRevocation(run.log, { event: 'session_revoked', sid: formatUuid(sid) }, audit)
  }
  // Those that an epoch has just ended are not living any more, but have no end of their own yet.
  for await (const session of listSessions(db, filter)) {
    if (session.revoked_at === null && session.expires_at > end.now) batch.push(session.id)
    if (batch.length === batchSize) await flush()
  }
  await flush()
}

async function countOf(sessions: AsyncIterable<unknown>): Promise<number> {
  let count = 0
  for await (const _ of sessions) count++
  return count
}

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
