import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/**
 * An address in its one spelling (RFC 5952): an IPv4 address that came as IPv6 (RFC 4291 §2.5.5.2) is one of
 * IPv4, a zone is cut off.
 */
export function normalAddress(address: string): string {
  if (isIPv4(address)) return address
  const bare = address.replace(/%.*$/, '')
  if (!isIPv6(bare)) return bare
  const { address: normal } = new SocketAddress({ address: bare, family: 'ipv6' })
  return normal.replace(/^::ffff:(?=\d+\.)/, '')
}

/**
 * Guesses from an address are counted by it alone or, for IPv6, by the /64 that every subscriber has to
 * himself.
 */
export function networkOf(address: string): string {
  const normal = normalAddress(address)
  if (!isIPv6(normal)) return normal
  return `${groupsOf(normal).slice(0, 4).join(':')}::/64`
}

/** The eight groups of an IPv6 address, in lower case and without leading zeros. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = address.replace(/[\d.]+$/, dottedAsGroups).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].map(group => Number.parseInt(group, 16).toString(16))
}

/** `192.0.2.1` at the end of an IPv6 address stands for two groups. */
function dottedAsGroups(text: string): string {
  if (!text.includes('.')) return text
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

/**
 * The address in what a proxy or a client calls somebody: alone, with a port, in brackets, in quotes (the
 * `node` of RFC 7239 §6, and what X-Forwarded-For has). Undefined for what is none: `unknown`, a name that
 * stands for one (`_hidden`), which may be another with each request, and anything else.
 */
export function addressOf(node: string): string | undefined {
  const text = node.trim().replace(/^"(.*)"$/, '$1')
  if (isIPv6(text)) return normalAddress(text)
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([^:]+))(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(text) ?? []
  if (bracketed !== undefined) return isIPv6(bracketed) ? normalAddress(bracketed) : undefined
  return plain !== undefined && isIPv4(plain) ? plain : undefined
}
