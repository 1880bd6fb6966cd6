import fc from 'fast-check'
import type { Test } from 'tap'
import { largestMaxAgeLingersSeconds } from '../../db/installation/installation.ts'
import type { InstallationTable } from '../../db/schema.ts'
import { judgeRing, phaseOf, waitOf, type KeyState, type RingStep } from '../../src/keys/ring/key-life.ts'
import { followBoundSeconds, policyProblems } from '../../src/protocol/key-lead.ts'
import { ringPolicyOf } from '../../src/keys/ring/key-policy.ts'
import { publishedOnly } from '../helpers/key-rows.ts'

/*
 * A model of several servers, verifiers and one database, all of whose times are whole seconds. Servers
 * follow the database when they happen to, act on what they read before, stop and start again, and have
 * clocks that are set. The rules are the real ones; what the database's verbs do is written down again here,
 * in a line or two each.
 */

/**
 * Lives through so many worlds, and fails with the shortest story of one in which a verifier meets an unknown
 * key.
 */
export function checkWorlds(t: Test, runs: number): void {
  const counts = { tokens: 0, keySets: 0, promotions: 0, drops: 0 }
  fc.assert(
    fc.property(fc.array(operations, { minLength: 20, maxLength: 300, size: 'max' }), list => {
      const world = newWorld()
      for (const operation of list) world.run(operation)
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += world.counts[name]
    }),
    { numRuns: runs },
  )
  t.comment(JSON.stringify(counts))
  for (const [name, count] of Object.entries(counts)) t.ok(count > runs, `there were ${name}`)
}

const instances = 3
const day = 86_400

const operations = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 12 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 1500 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('run' as const), seconds: fc.integer({ min: 1, max: 3000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      seconds: fc.integer({ min: day, max: 40 * day }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), instance: fc.nat(instances - 1) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('act' as const), instance: fc.nat(instances - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), instance: fc.nat(instances - 1) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('setClock' as const),
      instance: fc.nat(instances - 1),
      seconds: fc.oneof(fc.integer({ min: -7200, max: 7200 }), fc.integer({ min: -day, max: day })),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('sign' as const),
      instance: fc.nat(instances - 1),
      alg: fc.constantFrom('A', 'B'),
      life: fc.constantFrom(60, 300, 300, 3600),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('askRotation' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('setPolicy' as const),
      maxAge: fc.constantFrom(1, 60, 300, 3600),
      rotation: fc.constantFrom(20, 700, 8000, 30 * day),
      skew: fc.constantFrom(0, 60, 600),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('useB' as const), isUsed: fc.boolean() }) },
)

type Operation = typeof operations extends fc.Arbitrary<infer T> ? T : never

interface Lease {
  readonly expiresAt: number
  readonly endsAt: number
}

/** A key set, as one server has sent it. */
interface Sent {
  readonly maxAge: number
  lastSentAt: number
}

interface Instance {
  /** How far its clock is off. */
  offset: number
  snapshot?: {
    readonly keys: readonly KeyState[]
    readonly record: InstallationTable
    readonly algs: readonly string[]
    readonly readAt: number
    readonly sent: Sent
  }
  sightings: Map<string, { readonly phase: string; readonly counted: number; readonly seenAt: number }>
  leases: Map<string, Lease>
  wantedAt: Map<string, number>
}

function newWorld() {
  let time = 1_900_000_000
  let keys: KeyState[] = []
  let record = {
    key_rotation_seconds: 30 * day,
    jwks_max_age_seconds: 300,
    clock_skew_seconds: 60,
    largest_max_age_seconds: 300,
    largest_max_age_until: 0,
  } as InstallationTable
  let isBUsed = true
  let made = 0
  const fresh = (): Instance => ({ offset: 0, sightings: new Map(), leases: new Map(), wantedAt: new Map() })
  const servers = Array.from({ length: instances }, fresh)
  /** Until when the last lives of what each key has signed. */
  const tokens = new Map<string, number>()
  /** What was sent, or is being sent, by the kids in it: many a time the same. */
  const caches = new Map<string, { readonly kids: ReadonlySet<string>; sent: Sent[] }>()
  const counts = { tokens: 0, keySets: 0, promotions: 0, drops: 0 }

  const change = (kid: string, isSo: (key: KeyState) => boolean, to: Partial<KeyState>): boolean => {
    const found = keys.find(key => key.kid === kid && isSo(key))
    if (found) keys = keys.map(key => (key === found ? { ...key, ...to } : key))
    return found !== undefined
  }
  const newKey = (alg: string, now: number, isActive = false): KeyState => ({
    kid: `${alg}${++made}`,
    alg,
    published_at: now,
    ...publishedOnly,
    activated_at: isActive ? now : null,
  })
  const is = (phase: string) => (key: KeyState) => phaseOf(key) === phase
  const has = (alg: string, phase: string) => keys.some(key => key.alg === alg && is(phase)(key))

  const take = (step: RingStep, now: number): void => {
    switch (step.kind) {
      case 'start':
        if (keys.length === 0) keys = step.algs.flatMap(alg => [newKey(alg, now, true), newKey(alg, now)])
        return
      case 'publish':
        if (!has(step.alg, 'next')) keys = [...keys, newKey(step.alg, now)]
        return
      case 'promote': {
        const before = keys
        const isDone =
          (step.from === undefined
            ? !has(step.alg, 'active')
            : change(step.from, is('active'), { retired_at: now, witnessed_seconds: 0 })) &&
          change(step.to, is('next'), { activated_at: now })
        if (!isDone) keys = before
        else keys = [...keys, newKey(step.alg, now)]
        if (isDone) counts.promotions++
        return
      }
      case 'retire':
        if (step.alg === 'B' && isBUsed) return
        change(step.kid, is('active'), { retired_at: now, witnessed_seconds: 0 })
        return
      case 'drop': {
        const isFree = (key: KeyState) =>
          key.activated_at === null ||
          (key.retired_at !== null && key.verify_until <= now && key.verify_seconds <= key.witnessed_seconds)
        if (keys.some(key => key.kid === step.kid && key.activated_at !== null && isFree(key))) counts.drops++
        keys = keys.filter(key => key.kid !== step.kid || !isFree(key))
      }
    }
  }

  /** This server sends what it has read until it reads anew, and as long as it is sure of it. */
  const stopSending = ({ snapshot }: Instance) => {
    if (snapshot) snapshot.sent.lastSentAt = Math.min(time, snapshot.readAt + followBoundSeconds)
  }

  const read = (server: Instance) => {
    stopSending(server)
    const sent: Sent = { maxAge: record.jwks_max_age_seconds, lastSentAt: time + followBoundSeconds }
    server.snapshot = { keys, record, algs: isBUsed ? ['A', 'B'] : ['A'], readAt: time, sent }
    // A server that has not found or made the first keys is not open yet.
    if (keys.length === 0) return
    counts.keySets++
    const name = keys.map(key => key.kid).join(' ')
    const cache = caches.get(name) ?? { kids: new Set(keys.map(key => key.kid)), sent: [] }
    caches.set(name, cache)
    cache.sent.push(sent)
    for (const [kid, until] of tokens) {
      if (until > time && !cache.kids.has(kid))
        throw new Error(`${kid} is not published at ${time}, but needed until ${until}`)
    }
  }

  const witness = (server: Instance, lead: number): readonly KeyState[] => {
    const sightings: Instance['sightings'] = new Map()
    const counted = (server.snapshot?.keys ?? []).map(key => {
      const needed = waitOf(key, { leadSeconds: lead })
      if (needed === undefined) return key
      const phase = `${phaseOf(key)} ${key.retired_at}`
      let sighting = server.sightings.get(key.kid)
      if (sighting?.phase !== phase) sighting = { phase, counted: key.witnessed_seconds, seenAt: time }
      else {
        const { counted: from, seenAt } = sighting
        const to = from + time - seenAt
        const isAsSeen = (other: KeyState) =>
          other.activated_at === key.activated_at &&
          other.retired_at === key.retired_at &&
          other.witnessed_seconds === from
        if (change(key.kid, isAsSeen, { witnessed_seconds: to }))
          sighting = { phase, counted: to, seenAt: time }
        else {
          const now = keys.find(other => other.kid === key.kid)?.witnessed_seconds
          sighting = { phase, counted: now ?? from, seenAt: time }
        }
      }
      sightings.set(key.kid, sighting)
      return { ...key, witnessed_seconds: sighting.counted }
    })
    server.sightings = sightings
    return counted
  }

  /** What is due by what was read, however long ago that was. */
  const act = (server: Instance) => {
    if (!server.snapshot) return
    const now = time + server.offset
    for (const key of server.snapshot.keys)
      if (key.retired_at === null && !server.wantedAt.has(key.alg)) server.wantedAt.set(key.alg, time)
    for (const alg of server.snapshot.algs) server.wantedAt.set(alg, time)
    const algs = [...server.wantedAt].filter(([, at]) => time - at < 60).map(([alg]) => alg)
    const policy = ringPolicyOf(server.snapshot.record, algs, now)
    const rows = witness(server, policy.leadSeconds)
    for (const step of judgeRing(rows, policy, now)) take(step, now)
  }

  const sign = (server: Instance, alg: string, life: number) => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const key = server.snapshot?.keys.find(key => key.alg === alg && is('active')(key))
      if (!key) return
      const now = time + server.offset
      const expiresAt = now + life
      const isCovered = (lease: Lease | undefined) =>
        lease !== undefined && expiresAt <= lease.expiresAt && time + life <= lease.endsAt
      if (!isCovered(server.leases.get(key.kid))) {
        const until = expiresAt + 90
        const margin = record.clock_skew_seconds + record.jwks_max_age_seconds
        const row = keys.find(other => other.kid === key.kid)
        const isPromised = change(key.kid, is('active'), {
          verify_until: Math.max(row?.verify_until ?? 0, until + margin),
          verify_seconds: Math.max(row?.verify_seconds ?? 0, until + margin - now),
        })
        if (isPromised) server.leases.set(key.kid, { expiresAt: until, endsAt: time + until - now })
        else server.leases.delete(key.kid)
      }
      if (isCovered(server.leases.get(key.kid))) {
        const until = time + life + record.clock_skew_seconds
        tokens.set(key.kid, Math.max(until, tokens.get(key.kid) ?? 0))
        counts.tokens++
        for (const [name, cache] of caches) {
          if (cache.kids.has(key.kid)) continue
          cache.sent = cache.sent.filter(({ maxAge, lastSentAt }) => lastSentAt + maxAge > time)
          if (cache.sent.length === 0) caches.delete(name)
          for (const { maxAge, lastSentAt } of cache.sent) {
            const until = Math.min(time, lastSentAt) + maxAge
            if (until <= time) continue
            throw new Error(`${key.kid} signs at ${time}, but a verifier has ${name} until ${until}`)
          }
        }
        return
      }
      read(server)
    }
  }

  const setPolicy = ({ maxAge, rotation, skew }: { maxAge: number; rotation: number; skew: number }) => {
    const lingering = time < record.largest_max_age_until ? record.largest_max_age_seconds : 0
    const before = record
    const largest = Math.max(lingering, before.jwks_max_age_seconds)
    if (policyProblems({ key_rotation_seconds: rotation }, Math.max(largest, maxAge)).length > 0) return
    record = {
      ...record,
      key_rotation_seconds: rotation,
      jwks_max_age_seconds: maxAge,
      clock_skew_seconds: skew,
      ...(maxAge < before.jwks_max_age_seconds && {
        largest_max_age_seconds: largest,
        largest_max_age_until: time + largestMaxAgeLingersSeconds,
      }),
    }
    const raise = maxAge + skew - before.jwks_max_age_seconds - before.clock_skew_seconds
    if (raise > 0)
      keys = keys.map(key => ({
        ...key,
        verify_until: key.verify_until + raise,
        verify_seconds: key.verify_seconds + raise,
      }))
  }

  const run = (operation: Operation): void => {
    const server = 'instance' in operation ? servers[operation.instance] : undefined
    switch (operation.do) {
      case 'pass':
        time += operation.seconds
        break
      case 'run':
        // All is well for a while: everybody follows every few seconds.
        for (let passed = 0; passed < operation.seconds; passed += 9) {
          time += 9
          for (const each of servers) {
            read(each)
            act(each)
            sign(each, 'A', 300)
            sign(each, 'B', 300)
          }
        }
        break
      case 'read':
        if (server) read(server)
        break
      case 'act':
        if (server) act(server)
        break
      case 'crash':
        if (server) stopSending(server)
        if (server) Object.assign(server, { ...fresh(), snapshot: undefined, offset: server.offset })
        break
      case 'setClock':
        if (server) server.offset = operation.seconds
        break
      case 'sign':
        if (server) sign(server, operation.alg, operation.life)
        break
      case 'askRotation':
        keys = keys.map(key => (is('active')(key) ? { ...key, rotation_requested_at: time } : key))
        break
      case 'setPolicy':
        setPolicy(operation)
        break
      case 'useB':
        isBUsed = operation.isUsed
    }
    if (keys.length === 0) return
    const count = (alg: string, phase: string) => keys.filter(key => key.alg === alg && is(phase)(key)).length
    if (count('A', 'active') !== 1) throw new Error(`${count('A', 'active')} keys sign`)
    if (count('A', 'next') !== 1) throw new Error(`${count('A', 'next')} keys are to follow`)
    if (count('B', 'active') > 1 || count('B', 'next') > 1) throw new Error('two keys have one place')
  }
  return { run, counts }
}
