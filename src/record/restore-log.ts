import { createReadStream } from 'node:fs'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'

/**
 * One revocation, as the log tells of it and a restore reads it: of one or many sessions, of all that a user
 * or a client has, of a signing key, or of all of them. `at` is in seconds since the epoch. The sessions of a
 * user or a client that began in that `epoch` or a later one live, which no clock can blur.
 */
export type LoggedRevocation = { readonly at: number; readonly reason: string } & (
  | { readonly event: 'session_revoked'; readonly sid: Buffer }
  | { readonly event: 'sessions_revoked'; readonly sids: readonly Buffer[] }
  | { readonly event: 'user_revoked'; readonly sub: Buffer; readonly epoch: number }
  | { readonly event: 'client_revoked'; readonly clientId: string; readonly epoch: number }
  | { readonly event: 'key_revoked'; readonly kid: string }
  | {
      readonly event: 'all_keys_revoked'
      readonly kids: readonly string[]
      /** The ids of the root key before and after: the same one where it was kept. */
      readonly rootKeyFrom: string
      readonly rootKeyTo: string
    }
)

/** A line to write. */
export interface RevocationLine {
  readonly revocation: LoggedRevocation
  /** The id of the client that asked for it, `user`, `command` or `server`. */
  readonly by: string
  /** Other facts, which no restore reads. */
  readonly more?: Readonly<Record<string, unknown>>
  /** The text of a warning, where more than sessions have ended. */
  readonly warning?: string
}

/** What writes lines of the log. */
export interface LineLog {
  readonly info: (facts: object, text: string) => void
  readonly warn: (facts: object, text: string) => void
}

/** For what is done once more, and was told before. */
export const silentLog: LineLog = { info: () => {}, warn: () => {} }

/** A log whose lines wait until `release` writes them: for what becomes true only then. */
export function openHeldLog(log: LineLog): LineLog & { readonly release: () => void } {
  const held: (() => void)[] = []
  return {
    info: (facts, text) => void held.push(() => log.info(facts, text)),
    warn: (facts, text) => void held.push(() => log.warn(facts, text)),
    release: () => held.splice(0).forEach(write => write()),
  }
}

/** Writes the one line that a revocation leaves in the log. */
export function writeLine(log: LineLog, { revocation, by, more, warning }: RevocationLine): void {
  const { event, at, reason } = revocation
  const facts = { event, ...namesIn(revocation), by, reason, at, ...more }
  if (warning !== undefined) log.warn(facts, warning)
  else log.info(facts, event.replace('s_', 's were ').replace('_', ' was '))
}

/** The members that name the sessions or keys in the log. */
function namesIn(revocation: LoggedRevocation): object {
  switch (revocation.event) {
    case 'session_revoked':
      return { sid: formatUuid(revocation.sid) }
    case 'sessions_revoked':
      return { sids: revocation.sids.map(formatUuid) }
    case 'user_revoked':
      return { sub: formatUuid(revocation.sub), epoch: revocation.epoch }
    case 'client_revoked':
      return { client_id: revocation.clientId, epoch: revocation.epoch }
    case 'key_revoked':
      return { kid: revocation.kid }
    case 'all_keys_revoked': {
      const { kids, rootKeyFrom, rootKeyTo } = revocation
      return { kids, root_key_from: rootKeyFrom, root_key_to: rootKeyTo }
    }
  }
}

export interface RevocationLog {
  readonly revocations: readonly LoggedRevocation[]
  /** The earliest time that a line tells; undefined when none does. */
  readonly beginsAt: number | undefined
  /** Lines that look like a revocation, and cannot be read. */
  readonly unreadable: number
}

/**
 * Reads the revocations out of a server's or a command's log, which may be large, and may be wrapped by those
 * who kept it: lines begin with something else (syslog, CRI), or are texts in the JSON of another logger
 * (Docker).
 */
export async function readRevocationLog(file: string): Promise<RevocationLog> {
  const revocations: LoggedRevocation[] = []
  let beginsAtMs = Infinity
  let unreadable = 0
  for await (const line of linesOf(file)) {
    const timeMs = /time\\?":(\d{13})\b/.exec(line)?.[1]
    if (timeMs !== undefined) beginsAtMs = Math.min(beginsAtMs, Number(timeMs))
    if (!line.includes('_revoked')) continue
    const revocation = revocationOf(parseLine(line) ?? {})
    if (revocation === undefined) unreadable++
    else if (revocation !== 'another') revocations.push(revocation)
  }
  const beginsAt = beginsAtMs === Infinity ? undefined : Math.floor(beginsAtMs / 1000)
  return { revocations, beginsAt, unreadable }
}

/** Lines end where the log ends them: a text in one may hold U+2028, which ends a line for node:readline. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of createReadStream(file, 'utf8')) {
    const [first = '', ...others] = String(chunk).split('\n')
    rest += first
    for (const other of others) {
      yield rest
      rest = other
    }
  }
  if (rest !== '') yield rest
}

type Entry = Readonly<Record<string, unknown>>

function parseLine(line: string): Entry | undefined {
  const entry = parseObject(line.slice(Math.max(0, line.indexOf('{'))))
  const wrapped = entry?.['log']
  return typeof wrapped === 'string' ? parseObject(wrapped) : entry
}

function parseObject(text: string): Entry | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // the caller counts what it cannot read
  }
}

function timeOf({ at, time }: Entry): number | undefined {
  const seconds = at ?? (typeof time === 'number' ? Math.floor(time / 1000) : undefined)
  return isCount(seconds) ? seconds : undefined
}

/** The log may be another's work: a number that the database could not count on from must not get into it. */
function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** A text that a person may have typed, fit to be stored and shown. */
function reasonOf({ reason }: Entry): string {
  return typeof reason === 'string' ? reason.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').slice(0, 200) : ''
}

/** `another` is a line that only speaks of revocations; undefined is one that cannot be read. */
function revocationOf(entry: Entry): LoggedRevocation | 'another' | undefined {
  const { event, sid, sids, sub, client_id, kid, epoch } = entry
  if (typeof event !== 'string') return undefined
  const at = timeOf(entry)
  if (at === undefined) return undefined
  const told = { at, reason: reasonOf(entry) }
  switch (event) {
    case 'session_revoked': {
      const id = uuidOf(sid)
      return id && { event, sid: id, ...told }
    }
    case 'sessions_revoked': {
      const ids = listOf(sids, uuidOf)
      return ids && { event, sids: ids, ...told }
    }
    case 'user_revoked': {
      const id = uuidOf(sub)
      return id && isCount(epoch) ? { event, sub: id, epoch, ...told } : undefined
    }
    case 'client_revoked':
      return typeof client_id === 'string' && isCount(epoch)
        ? { event, clientId: client_id, epoch, ...told }
        : undefined
    case 'key_revoked':
      return typeof kid === 'string' ? { event, kid, ...told } : undefined
    case 'all_keys_revoked': {
      const kids = listOf(entry['kids'], value => (typeof value === 'string' ? value : undefined))
      const [rootKeyFrom, rootKeyTo] = [textOf(entry['root_key_from']), textOf(entry['root_key_to'])]
      return kids && { event, kids, rootKeyFrom, rootKeyTo, ...told }
    }
    default:
      return 'another'
  }
}

/** Undefined when there is anything in it that is none. */
function listOf<T>(values: unknown, read: (value: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(values)) return undefined
  const found = values.flatMap((value: unknown) => read(value) ?? [])
  return found.length === values.length ? found : undefined
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function uuidOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' ? parseUuid(value) : undefined
}
