import { InvalidArgumentError } from '@commander-js/extra-typings'
import type { Clock } from '../../clock.ts'
import { areWords, wordsSentence, type ScopeWords } from '../../clients/scope-words.ts'
import { wishSentence } from '../../clients/wishes.ts'
import { longestTokenSeconds } from '../../protocol/access-token.ts'
import { isClaimName } from '../../protocol/own-claims.ts'
import { isResourceUri, resourceSentence } from '../../protocol/resource.ts'
import { isGroupName, isRole, takesGroupName, takesRole } from '../../protocol/roles.ts'
import { isScopeToken, scopeSentence } from '../../protocol/scope.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import { readClaim, readClaimName, type ClaimChange } from '../../protocol/standard-claims.ts'
import { isUsername } from '../../protocol/username.ts'
import { eventNames } from '../../record/events.ts'
import { formatDuration, parseDuration } from '../../values/duration.ts'

// Readers of options and arguments, for commander: each returns the checked value or throws what `UsageError`
// is there.

export const accessTokenTtl = duration(10, longestTokenSeconds)

/** `300`, `90s`, `5m`, `12h` or `30d` as seconds. */
export function duration(min: number, max: number): (text: string) => number {
  return text => {
    const seconds = parseDuration(text)
    if (seconds === undefined || seconds < min || seconds > max) {
      throw new InvalidArgumentError(
        `It takes a duration from ${formatDuration(min)} to ${formatDuration(max)}, like 300, 90s, 5m, 12h or 30d.`,
      )
    }
    return seconds
  }
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return text => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN
    if (number >= min && number <= max) return number
    throw new InvalidArgumentError(`It takes a whole number from ${min} to ${max}.`)
  }
}

/**
 * A time in the past as seconds since the epoch: an age (`24h`), a date, or a date and a time (ISO 8601, UTC
 * unless told).
 */
export function pastTime(clock: Clock): (text: string) => number {
  return text => {
    const age = parseDuration(text)
    if (age !== undefined) return clock.now() - age
    const isTime = /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?$/.test(text)
    const zoned = /(Z|[+-]\d\d:\d\d|^\S{10})$/.test(text) ? text : `${text}Z`
    const time = isTime ? Date.parse(zoned.replace(' ', 'T')) : NaN
    if (Number.isNaN(time)) {
      throw new InvalidArgumentError(
        'It takes an age like 90m, 24h or 7d, or a time like 2026-03-09T17:05:30Z.',
      )
    }
    return Math.floor(time / 1000)
  }
}

export const scopes = several(isScopeToken, scopeSentence)

/** The scopes of a resource as they are given, with their words where some are: `"read=Read your orders"`. */
export type GivenScopes = ReadonlyMap<string, string | undefined>

/** An argument is scopes, or one with its words; so no scope that is given has a `=` in its name. */
export function resourceScopes(text: string, before: GivenScopes | undefined): GivenScopes {
  const given = new Map(before)
  const [, named, words = ''] = /^\s*([^\s=]+)=(.*)$/s.exec(text) ?? []
  if (named === undefined) {
    const names = scopes(text, undefined)
    if (names.some(name => name.includes('='))) {
      throw new InvalidArgumentError('A scope with its words is an argument of its own: "read=Read it".')
    }
    for (const name of names) if (!given.has(name)) given.set(name, undefined)
    return given
  }
  if (!isScopeToken(named)) throw new InvalidArgumentError(scopeSentence)
  if (words !== '' && !areWords(words)) throw new InvalidArgumentError(wordsSentence)
  return given.set(named, words)
}

/** The changes of a resource that they ask for. Empty words are taken away. */
export function toScopeChanges(given: GivenScopes): {
  readonly scope: readonly string[]
  readonly scope_words: ScopeWords
} {
  const words = [...given].flatMap(([name, words]) => (words === undefined ? [] : [[name, words] as const]))
  return { scope: [...given.keys()], scope_words: Object.fromEntries(words) }
}

export const roles = several(isRole, `A role is ${takesRole}.`)

export const rolesHelp = 'what the claim `roles` of the tokens says; with @URI for that resource alone'

export const groupRolesHelp = 'the roles that its members have; with @URI for that resource alone'

export function groupName(text: string): string {
  if (!isGroupName(text)) throw new InvalidArgumentError(`It takes ${takesGroupName}.`)
  return text
}

/** One or more names to log in with. */
export function usernames(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text.normalize('NFC')]
}

export const groups = several(isGroupName, `A group has a name of ${takesGroupName}.`)

export const wantedClaims = several(isClaimName, wishSentence)

export type Pair = readonly [name: string, value: string]

/** `NAME=VALUE`, several times. */
export function pairs(text: string, before: readonly Pair[] | undefined): readonly Pair[] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('It takes NAME=VALUE.')
  return [...(before ?? []), [text.slice(0, equals), text.slice(equals + 1)]]
}

/** Standard claims of a user, in the order in which they are to change: `given_name=Ada`. */
export const claims = claimChanges(readClaim)

/** Those that are to go. Where `--no-claim` names none, all are. */
export const claimNames = claimChanges(readClaimName)

function claimChanges(read: (text: string) => ClaimChange | string) {
  return (text: string, before: readonly ClaimChange[] | false | undefined): readonly ClaimChange[] => {
    const change = read(text)
    if (typeof change === 'string') throw new InvalidArgumentError(change)
    return [...(toClaimChanges(before) ?? []), change]
  }
}

/** The changes that `--claim` and `--no-claim` ask for; undefined where neither was given. */
export function toClaimChanges(
  given: readonly ClaimChange[] | boolean | undefined,
): readonly ClaimChange[] | undefined {
  if (typeof given === 'object') return given
  return given === false ? [{ kind: 'remove all' }] : undefined
}

export const events = several(
  item => eventNames.some(event => event === item),
  `An event is one of ${eventNames.join(', ')}.`,
)

/** A name to log in with, in Unicode normal form C. */
export function username(text: string): string {
  const name = text.normalize('NFC')
  if (!isUsername(name)) {
    throw new InvalidArgumentError(
      'It takes up to 255 characters, none of them invisible, no space at the ends, and not the form of a UUID.',
    )
  }
  return name
}

/** Names as they are in the rows, so that two which look the same can be told apart. */
export function exactNames(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), username(text)]
}

export interface Rename {
  readonly from: string
  readonly to: string
}

/** `OLD=NEW`. */
export function renames(text: string, before: readonly Rename[] | undefined): readonly Rename[] {
  const equals = text.indexOf('=')
  if (equals < 1)
    throw new InvalidArgumentError('It takes OLD=NEW, the name of a user and the one from now on.')
  const [from, to] = [text.slice(0, equals), text.slice(equals + 1)]
  return [...(before ?? []), { from: username(from), to: username(to) }]
}

/** The id of a sign-in, as its 16 bytes. */
export function signInId(text: string): Buffer {
  const id = parseUuid(text.toLowerCase())
  if (!id) throw new InvalidArgumentError('The id of a sign-in is a UUID, as in `mintmark sign-in list`.')
  return id
}

/** The id of a personal access token, as its 16 bytes. */
export function tokenId(text: string): Buffer {
  const id = parseUuid(text.toLowerCase())
  if (!id) throw new InvalidArgumentError('The id of a token is a UUID, as in `mintmark token list`.')
  return id
}

/** The `sid` of a session, as its 16 bytes. */
export function sessionId(text: string): Buffer {
  const id = parseUuid(text.toLowerCase())
  if (!id)
    throw new InvalidArgumentError('A sid is a UUID, as in the claim `sid` and in `mintmark session list`.')
  return id
}

export function resourceUri(text: string): string {
  if (!isResourceUri(text)) throw new InvalidArgumentError(resourceSentence)
  return text
}

/** An option that may be repeated and takes several values each time, also as one text with spaces. */
export function several(isValid: (item: string) => boolean, form: string) {
  return (text: string, before: readonly string[] | undefined): readonly string[] => {
    const items = text.split(/\s+/).filter(item => item !== '')
    if (items.length === 0 || !items.every(isValid)) throw new InvalidArgumentError(form)
    // After `--no-x`, before is false.
    return [...new Set([...(before || []), ...items])]
  }
}

/**
 * The change that `--x VALUE` or `--no-x` asks for: null for the default, undefined where neither was given.
 */
export function toChange<Value>(given: Value | boolean | undefined): Value | null | undefined {
  if (given === undefined || given === true) return undefined
  return given === false ? null : given
}
