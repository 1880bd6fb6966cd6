import { isIPv4, isIPv6 } from 'node:net'
import { hasControls } from '../values/text-input.ts'
import type { Problem } from './url-setting.ts'

/** Where mails are sent. The password is a secret: it is in no message. */
export interface SmtpServer {
  readonly host: string
  readonly port: number
  /** How the connection is encrypted: from its first byte, by STARTTLS, or not at all. */
  readonly tls: 'at once' | 'by STARTTLS' | 'none'
  /** Undefined where it asks for none. */
  readonly login: { readonly user: string; readonly password: string } | undefined
}

const forms = 'smtps://USER:PASSWORD@HOST:PORT or smtp://USER:PASSWORD@HOST:PORT'

/**
 * Reads the URL of an SMTP server. `problem` goes on after the name of the setting, and shows nothing of the
 * text. Mail to another machine is encrypted, unless `?tls=none` says otherwise.
 */
export function parseSmtpUrl(text: string): SmtpServer | Problem {
  if (hasControls(text))
    return { problem: `holds a line break or another control character: it takes ${forms}` }
  const url = /^smtps?:\/\//i.test(text) ? URL.parse(text) : null
  if (!url || !/^(?:[\w.-]+|\[[\da-f:.]+\])$/i.test(url.hostname) || url.port === '0')
    return { problem: `takes ${forms}` }
  if (!/^\/?$/.test(url.pathname) || url.hash !== '')
    return {
      problem: `takes ${forms}, and nothing behind it but ?tls=none (is there a / or # in the password? Write %2F or %23)`,
    }
  const user = decoded(url.username)
  const password = decoded(url.password)
  if (user === undefined || password === undefined)
    return { problem: 'has a % in its user or password that is not an escape: write %25' }
  if ((user === '') !== (password === ''))
    return { problem: 'has a user without a password, or a password without a user' }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isSecure = url.protocol.toLowerCase() === 'smtps:'
  const query = [...url.searchParams]
  const [[name, wanted] = []] = query
  if (query.length > 1 || (name !== undefined && (name !== 'tls' || !isTls(wanted))))
    return { problem: 'takes no other parameter than ?tls=none or ?tls=required' }
  if (isSecure && wanted === 'none')
    return { problem: 'has smtps:// and ?tls=none, which contradict each other' }
  const needsTls = (wanted ?? (isLoopback(host) ? 'none' : 'required')) === 'required'
  return {
    host,
    port: url.port === '' ? (isSecure ? 465 : 587) : Number(url.port),
    tls: isSecure ? 'at once' : needsTls ? 'by STARTTLS' : 'none',
    login: user === '' ? undefined : { user, password },
  }
}

function isTls(text: string | undefined): boolean {
  return text === 'none' || text === 'required'
}

/** For people: without user and password. */
export function describeSmtpServer({ host, port, tls }: SmtpServer): string {
  const scheme = tls === 'at once' ? 'smtps' : 'smtp'
  const more = tls === 'by STARTTLS' ? ', by STARTTLS' : tls === 'none' ? ', without TLS' : ''
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}${more}`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
