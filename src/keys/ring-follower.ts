import { findInstallation } from '../../db/installation.ts'
import {
  deleteSigningKey,
  extendSigningKey,
  insertSigningKey,
  listSigningKeys,
  promoteSigningKey,
} from '../../db/signing-keys.ts'
import type { KeyRingOptions } from './key-ring.ts'
import { judgeRing, type RingStep } from './key-life.ts'
import { newKey, readRing, type Ring, type RingKey } from './ring.ts'

/** The ring in memory, as the database had it last. */
export interface RingFollower {
  readonly ring: () => Ring
  /** When the database was last heard of, in seconds since the epoch. */
  readonly confirmedAt: () => number
  /** Reads the ring anew and takes the steps that are due. Calls that overlap share one run. */
  readonly follow: () => Promise<void>
}

/** No JWT of ours lives longer, so this is how long after its last signature a key may be needed. */
const longestTokenSeconds = 86_400
/** A key's promise is renewed when it has less than one of these to spare, and is then good for two. */
const promiseSeconds = 3600

/** Opens the ring and follows it from then on, whenever `follow` is called. */
export async function followRing({ db, rootKeys, now, log }: KeyRingOptions): Promise<RingFollower> {
  let ring = readRing([], undefined, rootKeys, log)
  let readText = ''
  let confirmedAt = -Infinity
  let following: Promise<void> | undefined

  const load = async () => {
    const readAt = now()
    const rows = await listSigningKeys(db)
    const installation = await findInstallation(db)
    // Opening the keys costs some time, and nearly always nothing has changed.
    const text = JSON.stringify([rows, installation])
    if (text !== readText) ring = readRing(rows, installation, rootKeys, log)
    readText = text
    confirmedAt = readAt
  }

  /** Until when a key that signs now must stay published, with time to renew it. */
  const promise = () => now() + longestTokenSeconds + ring.marginSeconds + 2 * promiseSeconds

  const renewPromise = async ({ row }: RingKey): Promise<boolean> => {
    if (row.verify_until >= promise() - promiseSeconds) return false
    return extendSigningKey(db, row.kid, promise())
  }

  const take = async (step: RingStep): Promise<boolean> => {
    switch (step.kind) {
      case 'mint':
        return insertSigningKey(db, await newKey(step.alg, rootKeys, now(), undefined))
      case 'start':
        return insertSigningKey(db, await newKey(step.alg, rootKeys, now(), promise()))
      case 'promote':
        return promoteSigningKey(db, { ...step, now: now(), verifyUntil: promise() })
      case 'drop':
        return deleteSigningKey(db, step.kid, now())
    }
  }

  const takeAndTell = async (step: RingStep): Promise<boolean> => {
    const isTaken = await take(step)
    if (isTaken) log.info({ event: 'key_step', ...step }, `the key ring moves on: ${step.kind}`)
    return isTaken
  }

  const follow = async () => {
    await load()
    // A step may make another one due: what is promoted needs a successor.
    for (let round = 0; round < 3; round++) {
      const steps = await Promise.all(judgeRing(ring.rows, ring.policy, now()).map(takeAndTell))
      const promises = await Promise.all([...ring.activeByAlg.values()].map(renewPromise))
      if (steps.length === 0 && !promises.includes(true)) return
      await load()
    }
  }

  await follow()
  return {
    ring: () => ring,
    confirmedAt: () => confirmedAt,
    follow: () => {
      following ??= follow().finally(() => {
        following = undefined
      })
      return following
    },
  }
}
