import type { ResourceTable } from '../../db/schema.ts'
import { algsSigning } from '../keys/ring/key-policy.ts'
import { itemsOf } from '../values/list.ts'

/** The resources that clients are judged by. */
export interface KnownResources {
  /** Undefined when there is no such resource. */
  readonly find: (uri: string) => KnownResource | undefined
  /** The algorithms that the key ring signs with now. */
  readonly algs: readonly string[]
}

export interface KnownResource {
  readonly scope: readonly string[]
  /** The JWS algorithm of its tokens. */
  readonly alg: string
}

/** Those of the database, and those that are `declared` besides, or instead. */
export function knownResources(
  rows: readonly Pick<ResourceTable, 'uri' | 'scope' | 'alg' | 'previous_alg'>[],
  declared: readonly (KnownResource & { readonly uri: string })[] = [],
): KnownResources {
  const stored = rows.map(({ uri, scope, alg }) => ({ uri, scope: itemsOf(scope), alg }))
  const known = new Map([...stored, ...declared].map(resource => [resource.uri, resource]))
  return { find: uri => known.get(uri), algs: algsSigning(rows) }
}
