import type { LostEndings, Restored, RestoredPlaces } from '../../admin/restore/restore.ts'
import type { RevocationPlan } from '../../endings/plan.ts'
import type { Replayed } from '../../endings/replay.ts'
import { formatCount, formatTime } from '../../values/formats.ts'

/** So many names are shown; the JSON has all. */
const namesMax = 10

function listNames(names: readonly string[]): string {
  const rest = names.length - namesMax
  return names.slice(0, namesMax).join(', ') + (rest > 0 ? ` and ${rest.toLocaleString('en-US')} more` : '')
}

/** What comes back to life with the backup; undefined when it is known that nothing does. */
export function describeLost(madeAt: number, lost: LostEndings | undefined): string | undefined {
  const when = formatTime(madeAt)
  if (!lost) return `What was revoked since the backup was made (${when}) comes back to life.`
  const lines = linesOf(lost)
  if (lines.length === 0) return undefined
  return [`With the backup of ${when} comes back to life:`, ...lines.map(line => `  ${line}`)].join('\n')
}

function linesOf({ sessions, users, clients, keys }: LostEndings): string[] {
  const lines: string[] = []
  const add = (words: string, names: readonly string[]) => {
    if (names.length > 0) lines.push(`${words}: ${listNames(names)}`)
  }
  if (sessions > 0) lines.push(`${formatCount(sessions, 'session')} that had ended`)
  for (const since of ['disabled', 'deleted'] as const) {
    add(
      `users that were ${since}`,
      users.filter(user => user.since === since).map(user => user.username),
    )
    add(
      `clients that were ${since}`,
      clients.filter(client => client.since === since).map(client => client.id),
    )
  }
  add(
    'the old passwords of',
    users.filter(user => user.since === 'password changed').map(user => user.username),
  )
  add(
    'the old secrets of',
    clients.filter(client => client.since === 'secret replaced').map(client => client.id),
  )
  add(
    'signing keys that were revoked',
    keys.map(key => key.kid),
  )
  return lines
}

/** All that a plan does beyond ending sessions: a line for each kind. */
export function describePlan({ usersDisabled, clientsDisabled, keys, beginsAnew }: RevocationPlan): string[] {
  const lines = [
    ['users are disabled', usersDisabled],
    ['clients are disabled', clientsDisabled],
    ['signing keys are revoked', keys],
  ] as const
  return [
    ...lines.filter(([, names]) => names.length > 0).map(([what, names]) => `  ${what}: ${names.join(', ')}`),
    ...(beginsAnew
      ? ['  all begins anew, as by `mintmark key revoke --all`: everybody has to log in again']
      : []),
  ]
}

/** Tells what a restore has done, and what is left to do. */
export function tellRestored(done: Restored & RestoredPlaces): string {
  const { madeAt, lost, replayed, sessionsEnded, source, file, kept, isDamaged } = done
  const lines = [`Restored ${file} from ${source}, as it was at ${formatTime(madeAt)}.`]
  if (kept !== null) lines.push(`The database of before${isDamaged ? ', which is damaged,' : ''} is ${kept}.`)
  if (sessionsEnded !== null)
    lines.push(`Ended ${formatCount(sessionsEnded, 'session')}: everybody has to log in again.`)
  if (replayed) lines.push(...replayedLines(replayed))
  if (lost) lines.push(...linesOf(lost).map(line => `Lives again: ${line}.`))
  lines.push('Start the servers. Sessions that were refreshed since then go on; the log has a line for each.')
  return lines.join('\n')
}

/** Tells what was done in a database that stays where it is. */
export function tellRevived({
  replayed,
  sessionsEnded,
}: Pick<Restored, 'replayed' | 'sessionsEnded'>): string {
  const lines = replayed ? replayedLines(replayed) : []
  if (sessionsEnded !== null)
    lines.push(`Ended ${formatCount(sessionsEnded, 'session')}: everybody has to log in again.`)
  const goOn = 'Servers go on; `mintmark doctor` tells no more that the database has gone back in time.'
  return [...lines, goOn].join('\n')
}

function replayedLines({ sessions, usersDisabled, clientsDisabled, oldPasswords, keys }: Replayed): string[] {
  const lines = [`Revoked ${formatCount(sessions, 'session')} again.`]
  if (usersDisabled.size > 0) {
    lines.push(
      `Disabled these users, which had been disabled or deleted: ${listNames([...usersDisabled])}. ` +
        'See `mintmark user enable` and `mintmark user delete`.',
    )
  }
  if (clientsDisabled.size > 0) {
    lines.push(
      `Disabled these clients, which had been disabled or deleted: ${listNames([...clientsDisabled])}.`,
    )
  }
  if (keys.size > 0) lines.push(`Revoked these signing keys again: ${listNames([...keys])}.`)
  if (oldPasswords.size > 0) {
    lines.push(
      `The old passwords are good again of ${listNames([...oldPasswords])}: set new ones (\`mintmark user passwd\`), ` +
        'or disable who may not log in with it.',
    )
  }
  return lines
}
