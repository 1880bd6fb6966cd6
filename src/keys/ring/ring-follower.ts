import { findInstallation } from '../../../db/installation/installation.ts'
import {
  deleteSigningKey,
  insertFirstSigningKeys,
  insertSigningKey,
  listSigningKeys,
  promoteSigningKey,
  retireSigningKey,
} from '../../../db/keys/signing-keys.ts'
import { listUsedAlgs } from '../../../db/keys/used-algs.ts'
import type { InstallationTable, SigningKeyTable } from '../../../db/schema.ts'
import type { Clock } from '../../clock.ts'
import { unavailable } from '../../errors.ts'
import { followBoundSeconds } from '../../protocol/key-lead.ts'
import { record, type Recorder } from '../../record/record.ts'
import { algorithms, defaultAlg } from '../algorithms.ts'
import { resealKeys } from '../root/root-rotation.ts'
import { firstRows, makeFirstKeys } from './first-keys.ts'
import { judgeRing, planRing, type KeyPlan, type RingStep } from './key-life.ts'
import { algsWanted, ringPolicyOf } from './key-policy.ts'
import { type KeyRingOptions, readRing, type Ring } from './ring.ts'
import { newKey } from './signing-key.ts'
import type { TokenLeases } from './token-leases.ts'
import { openWitness } from './witness.ts'

/** The ring in memory, as the database had them last. */
export interface RingFollower {
  readonly ring: () => Ring
  /** Whether the database has been heard of within the bound. */
  readonly isConfirmed: () => boolean
  /** The future of each key, by its kid, if no administrator interferes. */
  readonly plan: () => ReadonlyMap<string, KeyPlan>
  /**
   * Reads the ring anew if something has changed, and takes the steps that are due. Calls that overlap share
   * one run.
   */
  readonly follow: () => Promise<void>
  /**
   * The root key that the database is under, by a look at it that begins only now. Calls share looks, of
   * which there are ten a second at the most; throws `temporarily_unavailable` (503) where too many wait for
   * one.
   */
  readonly readRootKeyId: () => Promise<string | undefined>
}

interface Known {
  readonly record: InstallationTable
  readonly ring: Ring
  /** The algorithms that keys are wanted for. */
  readonly algs: readonly string[]
}

/** For so long an algorithm that nothing uses any more is kept, since other servers may not know that yet. */
const lingerSeconds = 60

/** Opens the ring and follows it from then on, whenever `follow` is called. */
export async function followRing(options: KeyRingOptions, leases: TokenLeases): Promise<RingFollower> {
  const { db, rootKeys, clock, log } = options
  const witness = openWitness(db, clock)
  const lingering = openLingering(clock)
  const watch = watchClock(options)
  let known: Known | undefined
  let confirmedAt = -Infinity
  let following: Promise<void> | undefined
  let isNewRootKey = false

  /** All that the ring hangs on; read only if something has changed. */
  const load = async (): Promise<Known> => {
    const readAt = clock.steady()
    // First of all, so that a change in the middle of it is read once more the next time.
    const record = await findInstallation(db)
    if (!record) throw new Error('the database has not been set up yet')
    // Until the ring has been read with it.
    isNewRootKey = rootKeys.follow(record.root_key_id, log) || isNewRootKey
    if (known && record.revision === known.record.revision && !isNewRootKey) {
      confirmedAt = readAt
      return known
    }
    const rows = await listSigningKeys(db)
    const used = await listUsedAlgs(db)
    const ring = readRing({ rows, record, rootKeys, before: known?.ring, log })
    known = { record, ring, algs: algsWanted(used) }
    isNewRootKey = false
    confirmedAt = readAt
    return known
  }

  const takeAndTell = async (step: RingStep) => {
    if (await takeStep(options, step))
      log.info({ event: 'key_step', ...step }, `the key ring moves on: ${step.kind}`)
  }

  /** Where the root key was rotated, its command may have been interrupted. */
  const resealAndTell = async ({ byKid, unknown }: Ring) => {
    const keys = [...byKid.values()].filter(({ row }) => !unknown.has(row.kid))
    for (const kid of await resealKeys(options, keys))
      log.info({ event: 'key_resealed', kid }, 'a signing key was sealed under the new root key')
  }

  const follow = async () => {
    // A step may make another one due.
    for (let round = 0; round < 3; round++) {
      const { record, ring, algs } = await load()
      watch(ring.rows)
      const policy = ringPolicyOf(record, lingering(algs, ring), clock.now())
      const rows = await witness.count(ring.rows, policy.leadSeconds)
      const steps = judgeRing(rows, policy, clock.now(), ring.unsound).filter(isOurs)
      if (steps.length === 0) break
      await Promise.all(steps.map(takeAndTell))
    }
    if (known) await resealAndTell(known.ring)
    await leases.renewUsed()
  }

  await follow()
  return {
    ring: () => {
      if (!known) throw new Error('unreachable: the ring was read before')
      return known.ring
    },
    plan: () => planOf(known, clock.now()),
    isConfirmed: () => clock.steady() - confirmedAt <= followBoundSeconds,
    follow: () => (following ??= follow().finally(() => (following = undefined))),
    readRootKeyId: askedAnew(0.1, clock, async () => (await findInstallation(db))?.root_key_id),
  }
}

/** So many wait for one look: in a flood, each that waits takes a place that others need. */
const waitingMax = 100

/**
 * Each call gets what was asked for after it came: with all others that wait, so many seconds after the last
 * time.
 */
function askedAnew<T>(seconds: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | undefined
  let waiting = 0
  return async () => {
    if (waiting >= waitingMax)
      throw unavailable('too many refresh tokens name root keys that are not known here')
    waiting++
    next ??= last.then(() => {
      next = undefined
      waiting = 0
      const answer = ask()
      last = Promise.allSettled([answer, clock.pause(seconds)])
      return answer
    })
    return next
  }
}

function planOf(known: Known | undefined, now: number): ReadonlyMap<string, KeyPlan> {
  if (!known) return new Map()
  return planRing(known.ring.rows, ringPolicyOf(known.record, known.algs, now), now)
}

/** The successions of algorithms that only a newer program knows are left alone. */
function isOurs(step: RingStep): boolean {
  return step.kind === 'start' || algorithms.has(step.alg)
}

/** Whether this server was the one to take the step. */
async function takeStep(options: KeyRingOptions, step: RingStep): Promise<boolean> {
  const { db, rootKeys, clock } = options
  switch (step.kind) {
    case 'start':
      return insertFirstSigningKeys(
        db,
        firstRows(await makeFirstKeys(step.algs), rootKeys, clock.now()),
        defaultAlg,
      )
    case 'publish':
      return insertSigningKey(db, await newKey(step.alg, rootKeys, clock))
    case 'promote': {
      // Made first: from then on nothing takes long.
      const successor = await newKey(step.alg, rootKeys, clock)
      const { alg, from = null, to } = step
      const by: Recorder = { db, clock, log: options.log, actor: { kind: 'server' } }
      return record(by, { event: 'key_rotated', detail: { alg, from, to } }, writer =>
        promoteSigningKey(writer, { ...step, successor, now: clock.now() }),
      )
    }
    case 'retire':
      return retireSigningKey(db, { ...step, now: clock.now() })
    case 'drop':
      return deleteSigningKey(db, step.kid, clock.now())
  }
}

/** The algorithms that are wanted, and those with a key that signs which were so until a short while ago. */
function openLingering(clock: Clock) {
  const wantedAt = new Map<string, number>()
  return (algs: readonly string[], { rows }: Ring): readonly string[] => {
    for (const row of rows) {
      if (row.retired_at === null && !wantedAt.has(row.alg)) wantedAt.set(row.alg, clock.steady())
    }
    for (const alg of algs) wantedAt.set(alg, clock.steady())
    return [...wantedAt].filter(([, at]) => clock.steady() - at < lingerSeconds).map(([alg]) => alg)
  }
}

/** Tells the log when the clock is set, and when it is behind what the database has seen. */
function watchClock({ clock, log }: KeyRingOptions) {
  let ahead: number | undefined
  let isBehind = false
  return (rows: readonly SigningKeyTable[]) => {
    const before = ahead ?? clock.now() - clock.steady()
    ahead = clock.now() - clock.steady()
    const seconds = Math.round(ahead - before)
    if (Math.abs(seconds) > followBoundSeconds / 2) {
      log.warn({ event: 'clock_set', seconds }, 'the clock was set, which no step of a key hangs on')
    }
    const behind = latestTimeOf(rows) - clock.now()
    if (behind > followBoundSeconds && !isBehind) {
      const facts = { event: 'clock_behind', seconds: behind }
      log.error(facts, 'the clock is behind what the key ring has seen: set it, and keep it right with NTP')
    }
    isBehind = behind > followBoundSeconds
  }
}

/** The latest moment at which something is recorded to have happened to a key. */
export function latestTimeOf(rows: readonly SigningKeyTable[]): number {
  return Math.max(
    0,
    ...rows.flatMap(row => [
      row.published_at,
      row.activated_at ?? 0,
      row.retired_at ?? 0,
      row.revoked_at ?? 0,
    ]),
  )
}
