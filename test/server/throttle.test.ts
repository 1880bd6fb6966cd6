import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { sql as fragment } from 'kysely'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import { deleteEmptyThrottles, fillThrottles } from '../../db/users/throttles.ts'
import { callerOf } from '../../src/clients/caller.ts'
import type { Client } from '../../src/clients/registry.ts'
import { loadConfig } from '../../src/config/load.ts'
import {
  deviceTokenSeconds,
  isOwner,
  openDeviceToken,
  sealDeviceToken,
} from '../../src/users/device-token.ts'
import { openBuckets } from '../../src/load/buckets.ts'
import {
  accountLimit,
  clientSecretLimit,
  deviceLimit,
  devicesLimit,
  pairLimit,
  sourceLimit,
  strangersLimit,
} from '../../src/users/guess-limits.ts'
import { isKnownSource, learnSource } from '../../src/users/known-sources.ts'
import { openThrottle, type Guess, type Throttle, type ThrottleOptions } from '../../src/users/throttle.ts'
import { addressOf, networkOf, normalAddress } from '../../src/values/addresses.ts'
import { forEachEngine, onPostgres, type EngineEnv } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { runJob } from '../helpers/run-job.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const start = 1_900_000_000
const rootKeys = { currentId: '00000000', derive: () => Buffer.alloc(32, 7) }
const stranger = async () => false

/** The throttle, and what its job does. */
function openShared(options: ThrottleOptions) {
  const { throttle, jobs } = openThrottle(options)
  return { ...throttle, share: () => runJob({ jobs }, 'sharing the counts of wrong guesses') }
}

async function openTest(t: Test, env: EngineEnv = {}) {
  const settings = { MINTMARK_DATABASE_URL: `sqlite:${scratchFolder(t)}/test.sqlite`, ...env }
  const db = openDatabase(loadConfig(settings, '/').databaseUrl)
  t.teardown(() => db.close())
  await migrate(db, start)
  const clock = handClock(start)
  return {
    db,
    clock,
    open: (over: Database = db) => openShared({ db: over, rootKeys, clock }),
  }
}

const guessAt = (username: string, more: Partial<Guess> = {}): Guess => ({
  username,
  source: undefined,
  device: undefined,
  ...more,
})

/** Guesses wrongly until it is refused, and returns how often it was let through and what the refusal was. */
async function exhaust(throttle: Throttle, guessOf: (i: number) => Guess, isKnown = stranger) {
  for (let count = 0; ; count++) {
    const attempt = await throttle.take(guessOf(count), isKnown)
    if (attempt.kind === 'refused') return { count, ...attempt }
    attempt.fail()
  }
}

t.test('each limit lets through what it says, and one more whenever so many seconds have passed', async t => {
  const { clock, open } = await openTest(t)
  const cases: [
    title: string,
    guessOf: (i: number) => Guess,
    known: boolean,
    points: number,
    every: number,
  ][] = [
    ['an account', () => guessAt('ada'), false, strangersLimit.points, strangersLimit.everySeconds],
    [
      'an account from ever other sources',
      i => guessAt('bob', { source: `192.0.2.${i}` }),
      false,
      strangersLimit.points,
      strangersLimit.everySeconds,
    ],
    [
      'an account from ever other sources that are known',
      i => guessAt('cyd', { source: `192.0.2.${i}` }),
      true,
      accountLimit.points,
      accountLimit.everySeconds,
    ],
    [
      'an account from one source',
      () => guessAt('dan', { source: '198.51.100.1' }),
      false,
      pairLimit.points,
      pairLimit.everySeconds,
    ],
    [
      'one source',
      i => guessAt(`user ${i}`, { source: '198.51.100.2' }),
      false,
      sourceLimit.points,
      sourceLimit.everySeconds,
    ],
    ['a device', () => guessAt('eve', { device: 'd' }), false, deviceLimit.points, deviceLimit.everySeconds],
    [
      'an account with ever other devices',
      i => guessAt('fay', { device: `d${i}` }),
      false,
      devicesLimit.points,
      devicesLimit.everySeconds,
    ],
  ]
  for (const [title, guessOf, isKnown, points, everySeconds] of cases) {
    const throttle = open()
    const known = async () => isKnown
    const first = await exhaust(throttle, guessOf, known)
    t.equal(first.count, points, title)
    t.equal(first.retryAfter, everySeconds, `${title}: when to come back`)
    await throttle.share()
    clock.tick(everySeconds - 1)
    t.match(await throttle.take(guessOf(0), known), { kind: 'refused', retryAfter: 1 }, `${title}: not yet`)
    clock.tick(1)
    t.equal((await exhaust(throttle, guessOf, known)).count, 1, `${title}: one more`)
    await throttle.share()
    clock.tick(3 * everySeconds)
    t.equal((await exhaust(throttle, guessOf, known)).count, 3, `${title}: and three more`)
    clock.tick(10_000_000)
  }
})

t.test('device tokens count apart, and strangers leave room for sources that are known', async t => {
  const { open } = await openTest(t)
  const throttle = open()
  t.match(await exhaust(throttle, () => guessAt('ada')), { limit: 'account' })
  const home = guessAt('ada', { source: '192.0.2.1' })
  t.match(await throttle.take(home, stranger), { kind: 'refused' })
  t.match(await throttle.take(home, async () => true), { kind: 'taken' }, 'the owner, from home')
  t.match(
    await throttle.take(guessAt('ada', { device: 'd' }), stranger),
    { kind: 'taken' },
    'and from abroad',
  )
  const full = await exhaust(
    throttle,
    i => guessAt('ada', { source: `192.0.2.${i}` }),
    async () => true,
  )
  t.ok(full.count <= accountLimit.points - strangersLimit.points)
  t.match(
    await throttle.take(guessAt('ada', { device: 'd' }), stranger),
    { kind: 'taken' },
    'whatever others do',
  )
  t.match(await throttle.take(guessAt('bob'), stranger), { kind: 'taken' }, 'another account is another one')
})

t.test(
  'NP-7 however an account is guessed at, a hundred guesses are looked at, and then a few a day',
  async t => {
    const { clock, open } = await openTest(t)
    const throttle = open()
    const known = async () => true
    /** Strangers by both names, from where the owner has been, and with stolen device tokens. */
    const everybody = async () => {
      const counts = [
        await exhaust(throttle, () => guessAt('ada')),
        await exhaust(throttle, i => guessAt('ada', { source: `192.0.2.${i}` }), known),
        await exhaust(throttle, () => guessAt('ada@mail.example')),
        await exhaust(throttle, i => guessAt('ada@mail.example', { source: `192.0.2.${i}` }), known),
        await exhaust(throttle, i => guessAt('ada', { device: `d${i}` })),
      ]
      return counts.reduce((sum, { count }) => sum + count, 0)
    }
    t.equal(await everybody(), 100)
    let later = 0
    for (let hours = 0; hours < 24; hours++) {
      clock.tick(3600)
      later += await everybody()
    }
    t.equal(later, 24 * (6 + 6 + 12))
  },
)

t.test('a point is taken before the guess is judged, and given back once if it was not wrong', async t => {
  const { open } = await openTest(t)
  const throttle = open()
  const guess = guessAt('ada', { source: '192.0.2.1' })
  const parallel = await Promise.all(Array.from({ length: 50 }, () => throttle.take(guess, stranger)))
  const taken = parallel.filter(attempt => attempt.kind === 'taken')
  t.equal(taken.length, pairLimit.points, 'of parallel guesses, no more than of others')
  for (const attempt of taken) {
    attempt.giveBack()
    attempt.giveBack()
    attempt.fail()
  }
  t.equal((await exhaust(throttle, () => guess)).count, pairLimit.points, 'and then all can be taken again')
  const after = open()
  const wrong = await after.take(guess, stranger)
  if (wrong.kind === 'taken') {
    wrong.fail()
    wrong.giveBack()
  }
  t.equal((await exhaust(after, () => guess)).count, pairLimit.points - 1, 'what was wrong stays wrong')
})

t.test('wrong client secrets are counted for each client, known or not, and in memory alone', async t => {
  const { db, clock, open } = await openTest(t)
  const throttle = open()
  for (let i = 0; i < clientSecretLimit.points; i++) t.equal(throttle.countWrongCredentials('web'), 0)
  t.equal(throttle.countWrongCredentials('web'), clientSecretLimit.everySeconds)
  t.equal(throttle.countWrongCredentials('web'), clientSecretLimit.everySeconds, 'which does not get more')
  t.equal(throttle.countWrongCredentials('other'), 0)
  clock.tick(clientSecretLimit.everySeconds)
  t.equal(throttle.countWrongCredentials('web'), 0)
  await throttle.share()
  t.strictSame(await db.sql.selectFrom('throttles').selectAll().execute(), [])
})

await forEachEngine(
  t,
  'servers on one database count together, with one write for all guesses',
  async (t, env) => {
    const { db, clock, open } = await openTest(t, env)
    let writes = 0
    const counted: Database = {
      ...db,
      transact: work => {
        writes++
        return db.transact(work)
      },
    }
    const [one, two] = [open(counted), open(counted)]
    await one.share()
    t.equal(writes, 0, 'nothing to tell: no write')
    const right = await one.take(guessAt('ada'), stranger)
    if (right.kind === 'taken') right.giveBack()
    await one.share()
    t.equal(writes, 0, 'a right password is nothing to tell')

    t.equal((await exhaust(one, () => guessAt('ada'))).count, strangersLimit.points)
    for (let i = 0; i < 1200; i++) {
      const attempt = await one.take(guessAt(`user ${i}`), stranger)
      if (attempt.kind === 'taken') attempt.fail()
    }
    await one.share()
    t.equal(writes, 1, 'one write for all')
    t.equal((await db.sql.selectFrom('throttles').selectAll().execute()).length, 1201)

    for (const [title, throttle] of [
      ['the other server', two],
      ['one that was started again', open()],
    ] as const)
      t.match(await throttle.take(guessAt('ada'), stranger), { kind: 'refused' }, title)

    for (const throttle of [one, two]) await throttle.take(guessAt('bob'), stranger)
    const both = await Promise.all([one, two].map(throttle => exhaust(throttle, () => guessAt('cyd'))))
    t.strictSame(
      both.map(({ count }) => count),
      [strangersLimit.points, strangersLimit.points],
      'what arrives everywhere in the same second is judged everywhere',
    )
    await Promise.all([one.share(), two.share()])
    const [row] = await db.sql
      .selectFrom('throttles')
      .select('empty_at')
      .orderBy('empty_at', 'desc')
      .execute()
    const fill = strangersLimit.points * strangersLimit.everySeconds
    t.equal(row?.empty_at, start + 2 * fill, 'and added up')
    clock.tick(fill)
    t.match(await two.take(guessAt('cyd'), stranger), { kind: 'refused' }, 'so it takes longer to empty')
    clock.setClock(clock.now() - fill)

    t.equal((await exhaust(one, () => guessAt('dan', { source: '192.0.2.1' }))).count, pairLimit.points)
    await one.share()
    const known = async () => true
    const fromHome = guessAt('dan', { source: '192.0.2.1' })
    t.match(await two.take(fromHome, known), { kind: 'refused', limit: 'account and source' })

    const fromOwn = (i: number) => guessAt('eve', { source: `192.0.2.${100 + i}` })
    t.equal((await exhaust(two, fromOwn)).count, strangersLimit.points)
    await two.share()
    t.equal((await exhaust(one, fromOwn, known)).count, accountLimit.points - strangersLimit.points)
    await one.share()
    t.match(await two.take(fromOwn(1), known), { kind: 'refused' }, 'also who may guess more than strangers')

    t.equal(await deleteEmptyThrottles(db, { now: clock.now(), limit: 1000 }), 0, 'what is not empty stays')
    clock.tick(strangersLimit.everySeconds)
    t.equal(await deleteEmptyThrottles(db, { now: clock.now(), limit: 700 }), 700)
    t.equal(await deleteEmptyThrottles(db, { now: clock.now(), limit: 700 }), 542, 'and those of sources')
  },
)

await forEachEngine(
  t,
  'a clock that was ahead locks nobody out for longer than guesses do',
  async (t, env) => {
    const { clock, open } = await openTest(t, env)
    const throttle = open()
    const guess = (i: number) => guessAt(`user ${i}`, { source: '198.51.100.2' })
    const fail = async (by: ReturnType<typeof open>, i: number) => {
      const attempt = await by.take(guess(i), stranger)
      if (attempt.kind === 'taken') attempt.fail()
      await by.share()
      return attempt
    }
    clock.setClock(start + 365 * 86_400)
    t.match(await fail(throttle, 0), { kind: 'taken' })
    clock.setClock(start)
    t.match(await fail(throttle, 1), {
      kind: 'refused',
      limit: 'source',
      retryAfter: sourceLimit.everySeconds,
    })

    const afterRestart = open()
    t.match(
      await fail(afterRestart, 2),
      { kind: 'refused', limit: 'source', retryAfter: sourceLimit.everySeconds },
      'it has heard of the full bucket',
    )
    clock.tick(sourceLimit.everySeconds)
    t.match(await fail(afterRestart, 3), { kind: 'taken' }, 'which empties')
    clock.tick((sourceLimit.points + 1) * sourceLimit.everySeconds)
    for (const each of [throttle, open()]) t.match(await fail(each, 4), { kind: 'taken' })
    t.equal((await exhaust(afterRestart, i => guess(i + 5))).count, sourceLimit.points - 2)
  },
)

await onPostgres(t, 'a bucket that is filled while it is about to be deleted stays', async (t, env) => {
  const { db } = await openTest(t, env)
  await fillThrottles(db, [{ key: 'k', seconds: 1, secondsWhenFull: 100 }], start)
  let deletion: Promise<number> | undefined
  await db.transact(async transaction => {
    await transaction
      .updateTable('throttles')
      .set({ empty_at: start + 1000 })
      .execute()
    deletion = deleteEmptyThrottles(db, { now: start + 1, limit: 10 })
    const waiting = fragment.raw(waitingHere)
    while ((await waiting.execute(transaction)).rows.length === 0) await setImmediate()
  })
  t.equal(await deletion, 0)
})

t.test('while the database is away the limits hold, and what was counted is told later', async t => {
  const { db, open } = await openTest(t)
  let isAway = true
  const throttle = open({
    ...db,
    transact: work => (isAway ? Promise.reject(new Error('away')) : db.transact(work)),
  })
  t.equal((await exhaust(throttle, () => guessAt('ada'))).count, strangersLimit.points)
  await t.rejects(throttle.share(), { message: 'away' })
  t.match(await throttle.take(guessAt('ada'), stranger), { kind: 'refused' })
  await t.rejects(throttle.share())
  isAway = false
  await throttle.share()
  const [row] = await db.sql.selectFrom('throttles').select('empty_at').execute()
  t.equal(row?.empty_at, start + strangersLimit.points * strangersLimit.everySeconds, 'each guess once')
})

t.test('memory is bounded, whatever is guessed and whoever is away, and holds no name in clear', async t => {
  const { db, clock } = await openTest(t)
  let isAway = true
  const told: number[] = []
  const over: Database = {
    ...db,
    transact: work => (isAway ? Promise.reject(new Error('away')) : db.transact(work)),
  }
  const throttle = openShared({ db: over, rootKeys, clock, bucketsMax: 300 })
  const secretsMax = 10_000
  for (let i = 0; i < 3000; i++) {
    const attempt = await throttle.take(guessAt(`secret-name-${i}`, { source: `s${i}` }), stranger)
    if (attempt.kind === 'taken') attempt.fail()
    throttle.countWrongCredentials(`client ${i}`)
    if (i % 500 === 0) await t.rejects(throttle.share(), { message: 'away' })
  }
  t.ok(throttle.size() <= 2 * 300 + secretsMax, String(throttle.size()))
  for (let i = 0; i < 12_000; i++) throttle.countWrongCredentials(`other ${i}`)
  t.ok(throttle.size() <= 2 * 300 + secretsMax, String(throttle.size()))
  isAway = false
  await throttle.share()
  const rows = await db.sql.selectFrom('throttles').selectAll().execute()
  t.equal(rows.length, 300, 'of an outage that was too long, the last guesses are told')
  t.notMatch(JSON.stringify(rows), /secret-name/)
  const plainHash = createHash('sha256').update('secret-name-2999').digest('base64url').slice(0, 10)
  t.notMatch(JSON.stringify(rows), plainHash)

  const few = openBuckets(handClock(start), 10)
  few.keep('pushed out', pairLimit)
  for (let i = 0; i < 20; i++) few.take(`other ${i}`)
  few.hear([{ key: 'pushed out', emptyAt: start + 5 }])
  t.equal(few.fillOf('pushed out', pairLimit), 5 + pairLimit.everySeconds, 'what is yet to be told counts')

  const buckets = openBuckets(handClock(start), 20_000)
  for (let i = 0; i < 12_000; i++) buckets.keep(`key ${i}`, pairLimit)
  for (let i = 0; i < 4; i++) {
    await buckets.share(async fillings => {
      told.push(fillings.length)
      return []
    })
  }
  t.strictSame(told, [5000, 5000, 2000], 'nobody waits long for a write that an outage has made large')
})

t.test('an address has one spelling, and IPv6 counts by its /64', async t => {
  const addresses: [address: string, normal: string, network: string][] = [
    ['192.0.2.1', '192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1', '192.0.2.1'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['::ffff:c000:201', '192.0.2.1', '192.0.2.1'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::1', '2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '::1', '0:0:0:0::/64'],
    ['::', '::', '0:0:0:0::/64'],
    ['1::', '1::', '1:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201', '64:ff9b:0:0::/64'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4:5:6:c000:201', '1:2:3:4::/64'],
    ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
    ['::192.0.2.1', '::192.0.2.1', '0:0:0:0::/64'],
  ]
  for (const [address, normal, network] of addresses) {
    t.equal(normalAddress(address), normal, address)
    t.equal(networkOf(address), network, address)
  }
  const nodes: [node: string, address: string | undefined][] = [
    ['192.0.2.60', '192.0.2.60'],
    [' 192.0.2.60\t', '192.0.2.60'],
    ['192.0.2.60:8080', '192.0.2.60'],
    ['192.0.2.60:_port', '192.0.2.60'],
    ['"192.0.2.60"', '192.0.2.60'],
    ['"192.0.2.60:8080"', '192.0.2.60'],
    ['[2001:db8:cafe::17]', '2001:db8:cafe::17'],
    ['[2001:DB8:cafe::17]:4711', '2001:db8:cafe::17'],
    ['"[2001:db8:cafe::17]:4711"', '2001:db8:cafe::17'],
    ['2001:DB8::1', '2001:db8::1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['[::ffff:192.0.2.1]:8080', '192.0.2.1'],
    ['[::FFFF:C000:201]', '192.0.2.1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['[fe80::1%eth0]:8080', 'fe80::1'],
    ['_hidden', undefined],
    ['_SEVKISEK:8080', undefined],
    ['unknown', undefined],
    ['"unknown"', undefined],
    ['unix:', undefined],
    ['[192.0.2.1]', undefined],
    ['192.0.2.256', undefined],
    ['192.0.2.1:', undefined],
    ['192.0.2.1:8080:80', undefined],
    ['192.0.2.1:123456', undefined],
    ['"192.0.2.1', undefined],
    ['[2001:db8::1', undefined],
    ['2001:db8::1]:80', undefined],
    ['example.com', undefined],
    ['', undefined],
    ['""', undefined],
  ]
  for (const [node, address] of nodes) t.equal(addressOf(node), address, `the node ${node}`)
})

t.test(
  'H-12 a forwarded address is believed from a client that has a secret and says so, and from nobody else',
  async t => {
    const forwarding = { auth_method: 'client_secret', forwards_user_address: 1 } as Client
    const confidential = { ...forwarding, forwards_user_address: 0 }
    const open = { ...forwarding, auth_method: 'none' } as Client
    const cases: [
      title: string,
      client: Client,
      forwarded: string | undefined,
      address: string,
      source?: string,
    ][] = [
      ['a public client', open, 'for=192.0.2.1', '203.0.113.5', '203.0.113.5'],
      ['a client that does not forward', confidential, 'for=192.0.2.1', '203.0.113.5'],
      ['one address', forwarding, 'for=192.0.2.1', '192.0.2.1', '192.0.2.1'],
      [
        'with other parameters',
        forwarding,
        'proto=https;For="192.0.2.1:123";by=_x',
        '192.0.2.1',
        '192.0.2.1',
      ],
      ['IPv6', forwarding, 'for="[2001:db8:1:2::9]"', '2001:db8:1:2::9', '2001:db8:1:2::/64'],
      ['another spelling', forwarding, 'for="[::ffff:192.0.2.1]:99"', '192.0.2.1', '192.0.2.1'],
      ['a hidden one, which may be another each time', forwarding, 'for=_a1', '203.0.113.5'],
      ['a made-up one before a hidden one', forwarding, 'for=6.6.6.6, for=_a1', '203.0.113.5'],
      ['a made-up one before an unknown one', forwarding, 'for=6.6.6.6, for=unknown', '203.0.113.5'],
      ['one that its user has made up', forwarding, 'for=6.6.6.6, for=192.0.2.1', '192.0.2.1', '192.0.2.1'],
      [
        'with what proxies between have added',
        forwarding,
        'for=192.0.2.1, for=203.0.113.5, for=10.0.0.1',
        '192.0.2.1',
        '192.0.2.1',
      ],
      ['an unknown one', forwarding, 'for=unknown', '203.0.113.5'],
      ['no header', forwarding, undefined, '203.0.113.5'],
      ['an empty header', forwarding, '', '203.0.113.5'],
      ['no RFC 7239', forwarding, 'for=192.0.2.1;;,', '203.0.113.5'],
      ['an address without its name', forwarding, '192.0.2.1', '203.0.113.5'],
    ]
    for (const [title, client, forwarded, address, source] of cases) {
      const request = { id: 'r', ip: '203.0.113.5', ips: ['10.0.0.1', '203.0.113.5'], headers: { forwarded } }
      t.strictSame(callerOf(request, client), { requestId: 'r', address, source }, title)
    }
  },
)

t.test(
  'a device token is of one user with one password and of one client, for a year and some days',
  async t => {
    const sealed = new Map<string, Buffer>()
    const sealer = {
      seal: (purpose: string, name: string, plaintext: Buffer) => {
        const bytes = Buffer.concat([Buffer.alloc(28, sealed.size), plaintext])
        sealed.set(JSON.stringify([purpose, name, bytes.toString('hex')]), plaintext)
        return { rootKeyId: '0a0b0c0d', sealed: bytes }
      },
      open: (purpose: string, name: string, rootKeyId: string, bytes: Buffer) =>
        rootKeyId === '0a0b0c0d'
          ? sealed.get(JSON.stringify([purpose, name, bytes.toString('hex')]))
          : undefined,
    }
    const ada = { id: Buffer.alloc(16, 1), epoch: 3 }
    const at = { place: 'web', now: start }
    const token = sealDeviceToken(sealer, ada, at)
    t.match(token, /^mm_dt_[\w-]{92}$/)
    const opened = openDeviceToken(sealer, token, at)
    if (!opened) throw new Error('unreachable: it was made just now')
    t.match(opened.device, /^[\w-]{22}$/)
    t.strictSame(openDeviceToken(sealer, token, { ...at, now: start + deviceTokenSeconds - 1 }), opened)
    const other = openDeviceToken(sealer, sealDeviceToken(sealer, ada, at), at)
    t.not(other?.device, opened.device, 'each is another device')
    t.ok(isOwner(ada, opened))
    t.notOk(isOwner({ ...ada, id: Buffer.alloc(16, 2) }, opened), 'another user')
    t.notOk(isOwner({ ...ada, epoch: 4 }, opened), 'the same user, with another password')
    for (const [title, text, by] of [
      ['another client', token, { ...at, place: 'app' }],
      ['too old', token, { ...at, now: start + deviceTokenSeconds }],
      ['cut', token.slice(0, -1), at],
      ['another prefix', token.replace('mm_dt_', 'mm_rt_'), at],
      ['another root key', token.replace(/^(mm_dt_.{2})../, '$1zz'), at],
      ['nothing', '', at],
    ] as const) {
      t.equal(openDeviceToken(sealer, text, by), undefined, title)
    }
  },
)

t.test('the last eight sources of a user are known for 90 days, and nobody reads them off', async t => {
  const key = Buffer.alloc(32, 1)
  const day = 86_400
  const learn = (known: Buffer | null, source: string, now = start) =>
    learnSource(known, { source, key, now })
  const isKnown = (known: Buffer | null, source: string, now = start, keys = [key]) =>
    isKnownSource(known, { source, keys, now })
  let known = learn(null, 'home') ?? null
  t.ok(known)
  t.notOk(isKnown(null, 'home'))
  t.ok(isKnown(known, 'home'))
  t.notOk(isKnown(known, 'elsewhere'))
  t.notOk(isKnown(known, 'home', start, [Buffer.alloc(32, 2)]))
  t.ok(isKnown(known, 'home', start, [Buffer.alloc(32, 2), key]), 'under an earlier root key')
  t.ok(isKnown(known, 'home', start + 89 * day))
  t.notOk(isKnown(known, 'home', start + 92 * day))
  t.equal(learn(known, 'home', start + 60), undefined, 'nothing to write on the same day')
  t.ok(learn(known, 'home', start + day), 'but on the next')
  for (let i = 0; i < 7; i++) known = learn(known, `place ${i}`) ?? known
  t.ok(isKnown(known, 'home'))
  t.equal(known?.length, 128)
  known = learn(known, 'home') ?? known
  t.equal(known?.length, 128, 'each once')
  for (let i = 0; i < 7; i++) known = learn(known, `other ${i}`) ?? known
  t.ok(isKnown(known, 'home'), 'who comes back stays')
  known = learn(known, 'other 7') ?? known
  t.notOk(isKnown(known, 'home'), 'the oldest goes')
  t.equal(known?.length, 128)
  t.notOk(known?.includes('other'))
})
