import { Resolver } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { isPublicAddress, networks, type IsIn } from '../values/networks.ts'

/** How far a request may go whose URL the owner of a client has chosen. */
export interface Reach {
  /** Private addresses that are allowed nevertheless, and the setting that says which. */
  readonly isAllowed: IsIn
  readonly setting: string
  /** For all of it: names, redirects, and the last byte. */
  readonly seconds: number
  /** Name servers, with their port; those of the system unless told. */
  readonly nameServers?: readonly string[]
}

/** Public addresses, and those of the networks that a setting allows. */
export function reachInto(setting: string, allowed: readonly string[], seconds: number): Reach {
  return { isAllowed: networks(allowed), setting: `MINTMARK_${setting}`, seconds }
}

/**
 * The addresses of the URL's host; all of them may be connected to. Rejects where one is private and not
 * allowed, or there is none.
 *
 * Names are asked for by DNS alone (no /etc/hosts): the system's own resolver would hold a thread of the pool
 * until it has an answer, and passwords need these.
 */
export async function addressesOf(
  { hostname }: Pick<URL, 'hostname'>,
  reach: Reach,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const name = hostname.replace(/^\[|\]$/g, '')
  const addresses =
    isIP(name) !== 0 ? [name] : name === 'localhost' ? ['127.0.0.1'] : await resolve(name, reach, signal)
  const forbidden = addresses.find(address => !isPublicAddress(address) && !reach.isAllowed(address))
  if (forbidden !== undefined) {
    throw new Error(`${name} is at ${forbidden}, a private address that ${reach.setting} does not allow`)
  }
  return addresses
}

async function resolve(
  name: string,
  { nameServers }: Reach,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: 1000, tries: 2 })
  if (nameServers) resolver.setServers(nameServers)
  signal.addEventListener('abort', () => resolver.cancel(), { once: true })
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  const addresses = answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
  if (addresses.length === 0) {
    throw new Error(`${name} has no address`, { cause: answers.find(({ status }) => status === 'rejected') })
  }
  return addresses
}

/** Has a connection ask for no address but these, which were looked at. */
export function lookupOf(addresses: readonly string[]): LookupFunction {
  const found = addresses.map(address => ({ address, family: isIP(address) }))
  return (_name, { all }, callback) => {
    if (all) callback(null, found)
    else callback(null, found[0]?.address ?? '', found[0]?.family)
  }
}
