import type { SigningKeyTable } from '../../../db/schema.ts'
import type { RootKeys } from '../root/root-key.ts'
import { makeKey, rowOf, type MadeKey } from './signing-key.ts'

/** For each algorithm one key that signs at once and one to follow. */
export type FirstKeys = readonly (readonly [active: MadeKey, next: MadeKey])[]

/** Makes them side by side, since some take long. */
export async function makeFirstKeys(algs: readonly string[]): Promise<FirstKeys> {
  return Promise.all(algs.map(alg => Promise.all([makeKey(alg), makeKey(alg)])))
}

export function firstRows(keys: FirstKeys, rootKeys: RootKeys, now: number): readonly SigningKeyTable[] {
  return keys.flatMap(([active, next]) => [
    rowOf(active, rootKeys, { now, isActive: true }),
    rowOf(next, rootKeys, { now }),
  ])
}
