import { isIssuer, issuerForm, normalIssuer } from '../protocol/issuer.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { isOrigin } from '../protocol/origin.ts'
import { normalColor } from '../values/colors.ts'
import { formatDuration, parseDuration } from '../values/duration.ts'
import { isNetwork } from '../values/networks.ts'
import { hasControls } from '../values/text-input.ts'

/** What a heading has room for. */
const titleMax = 60

/** A form that the text of a setting may have. */
export interface Kind<Value> {
  /** For the sentence that refuses another text: `a whole number from 1 to 8`. */
  readonly takes: string
  /** The value; undefined for a text of another form. */
  readonly parse: (text: string) => Value | undefined
  /** Guesses the right text for one that is refused. */
  readonly suggest?: (text: string) => string | undefined
}

export function integer(min: number, max: number): Kind<number> {
  return {
    takes: `a whole number from ${min} to ${max}`,
    parse: text => within(/^\d{1,15}$/.test(text) ? Number(text) : undefined, min, max),
  }
}

/** A number that the server may choose itself. */
export function countOrAuto(min: number, max: number): Kind<number | 'auto'> {
  const count = integer(min, max)
  return { takes: `auto, or ${count.takes}`, parse: text => (text === 'auto' ? text : count.parse(text)) }
}

/** In seconds. */
export function duration(min: number, max: number): Kind<number> {
  return {
    takes: `a duration from ${formatDuration(min)} to ${formatDuration(max)}, in seconds or with a unit (300, 90s, 5m, 12h, 30d)`,
    parse: text => within(parseDuration(text), min, max),
  }
}

export function choice<const Choice extends string>(choices: readonly Choice[]): Kind<Choice> {
  return {
    takes: `one of ${choices.join(', ')}`,
    parse: text => choices.find(choice => choice === text),
  }
}

/**
 * A wrong path leads to another, empty installation, so what cannot be seen in it is refused: Windows' line
 * breaks.
 */
export const path: Kind<string> = {
  takes: 'a path without control characters, and without a space at its ends',
  parse: text => (!hasControls(text) && text.trim() === text ? text : undefined),
}

export const host: Kind<string> = {
  takes: 'a host name or an address to listen on',
  parse: text => (/^[A-Za-z0-9.:_-]+$/.test(text) ? text : undefined),
}

/** A host in the one spelling that URLs have for it. */
export const urlHost: Kind<string> = {
  takes: 'a domain name in lower case, like example.com',
  parse: text => (URL.parse(`https://${text}`)?.hostname === text ? text : undefined),
}

/** Hosts of URLs, each with its port unless that is the usual one; or all that there are. */
export const hostsOrAny: Kind<readonly string[] | 'any'> = {
  takes: 'hosts like claude.ai, separated by commas, or any',
  parse: text => (text === 'any' ? text : hosts.parse(text)),
}

const hosts = listOf(
  item => /^[a-z0-9.[\]:-]+$/.test(item) && URL.parse(`https://${item}`)?.host === item,
  'hosts like claude.ai, separated by commas',
)

/** An issuer identifier (RFC 8414 §2), or another URL of its form. */
export const issuerUrl: Kind<string> = {
  takes: issuerForm,
  parse: text => (isIssuer(text) ? text : undefined),
  suggest: normalIssuer,
}

export const origins: Kind<readonly string[]> = listOf(
  isOrigin,
  'origins like https://app.example, separated by commas',
)

export const networks: Kind<readonly string[]> = listOf(
  isNetwork,
  'addresses or networks like 10.0.0.0/8, separated by commas',
)

/** A name that people read. */
export const title: Kind<string> = {
  takes: `a text of 1 to ${titleMax} characters without control characters`,
  parse: text =>
    text.trim() !== '' && [...text].length <= titleMax && !hasControls(text) ? text.trim() : undefined,
}

/** Normal: `#rrggbb`. */
export const color: Kind<string> = { takes: 'a colour as #rgb or #rrggbb', parse: normalColor }

/** Who sends a mail. */
export interface Mailbox {
  /** As mail programs show it; empty for none. */
  readonly name: string
  readonly address: string
}

export const mailbox: Kind<Mailbox> = {
  takes: 'a mail address, alone or with a name: Example <no-reply@example.com>',
  parse: text => {
    const [, name = '', inBrackets] = /^([^<>"\\]*)<([^<>]*)>$/.exec(text.trim()) ?? []
    const address = mailAddress(inBrackets ?? text.trim())
    return address === undefined || hasControls(name) ? undefined : { name: name.trim(), address }
  },
}

/** A text that holds a secret: its reader judges it, and shows nothing of it. */
export const secret: Kind<string> = { takes: 'a text', parse: text => text }

function listOf(isValid: (item: string) => boolean, takes: string): Kind<readonly string[]> {
  return {
    takes,
    parse: text => {
      const items = text.split(/[\s,]+/).filter(item => item !== '')
      return items.every(isValid) ? items : undefined
    },
  }
}

function within(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}
