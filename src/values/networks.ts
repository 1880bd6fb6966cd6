import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** Whether an address lies in one of some networks (`10.0.0.0/8`) or is one of some addresses. */
export type IsIn = (address: string) => boolean

/**
 * The networks must be well-formed. An IPv4 address is the same when it is written as IPv6
 * (`::ffff:10.0.0.1`).
 */
export function networks(texts: readonly string[]): IsIn {
  const list = new BlockList()
  for (const text of texts) {
    const [address = '', bits] = text.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return address => {
    const bare = address.replace(/%.*$/, '') // the zone of a link-local address
    return isIPv4(bare) ? list.check(bare, 'ipv4') : isIPv6(bare) && list.check(bare, 'ipv6')
  }
}

/** Whether a text is an address, or a network in CIDR notation. */
export function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

/**
 * IPv4 that leads nowhere, or back into the own network (the IANA registry of special-purpose addresses, RFC
 * 6890).
 */
const isSpecialIpv4 = networks([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
])

const isGlobalIpv6 = networks(['2000::/3'])
/**
 * Of those, what is special: protocol assignments with Teredo, documentation, 6to4 (which has an IPv4 address
 * in it).
 */
const isSpecialIpv6 = networks(['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])

/** Whether an address is one of the public internet. False for another text. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !isSpecialIpv4(address)
  return isIPv6(address) && isGlobalIpv6(address) && !isSpecialIpv6(address)
}
