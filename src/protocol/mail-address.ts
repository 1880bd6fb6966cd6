import { domainToASCII } from 'node:url'

/** The greatest length of a path, without its angle brackets (RFC 5321 §4.5.3.1.3, erratum 1690). */
export const mailAddressMax = 254

/** RFC 5321 §4.5.3.1.1. */
const localBytesMax = 64

/** `Dot-string` of RFC 5321 §4.1.2, in any script (RFC 6531 §3.3); no quoted strings. */
const dotString = /^[^\s\p{C}\p{Z}"(),:;<>@[\\\].]+(?:\.[^\s\p{C}\p{Z}"(),:;<>@[\\\].]+)*$/u

/**
 * What a domain name is typed with: letters, digits, the two middle dots of IDNA (RFC 5892 Appendix A), and
 * the full stops that stand for one (RFC 3490 §3.1). Of the rest domainToASCII decodes some, and cuts off
 * some: `a.example/b` is `a.example` to it.
 */
const typedDomain = /^[\p{L}\p{M}\p{N}\-.\u00b7\u30fb\u3002\uff0e\uff61]+$/u

/** Of two labels at least: a mail to `localhost` is a mistake, or an attack. */
const domainName =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * The address as SMTP takes it: the local part as it is, whose case counts to its server alone, and the
 * domain in its ASCII form. Undefined for what is no address of one person: nothing in what it gives back can
 * end a line, a header field or a command.
 */
export function mailAddress(text: string): string | undefined {
  const at = text.lastIndexOf('@')
  const local = text.slice(0, Math.max(at, 0)).normalize('NFC')
  const domain = text.slice(at + 1)
  if (!dotString.test(local) || !typedDomain.test(domain) || Buffer.byteLength(local) > localBytesMax)
    return undefined
  const ascii = domainToASCII(domain)
  const isNumber = /(?:^|\.)\d+$/.test(ascii)
  if (!domainName.test(ascii) || isNumber) return undefined
  const address = `${local}@${ascii}`
  return Buffer.byteLength(address) <= mailAddressMax ? address : undefined
}
