import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import {
  addDeliveries,
  claimReceiver,
  pauseReceiver,
  resumeReceiver,
  type NewDelivery,
} from '../../db/push/deliveries.ts'
import { takeNext } from '../../db/push/delivery-cursors.ts'
import { countDeliveries, countedDeliveriesMax } from '../../db/push/delivery-figures.ts'
import { findStreamDeliveries } from '../../db/push/stream-deliveries.ts'
import { laneOf } from '../../db/push/stream-lanes.ts'
import { openDatabase } from '../../db/open-database.ts'
import { openOutgoing } from '../../src/push/outgoing/outgoing.ts'
import { attemptsMax, pauseSeconds, triedSeconds } from '../../src/push/outgoing/back-off.ts'
import type { DeliveryKind } from '../../src/push/outgoing/kind.ts'
import { networks } from '../../src/values/networks.ts'
import { day } from '../../src/values/duration.ts'
import { anotherProtocol } from '../helpers/another-protocol.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { openDocumentSite } from '../helpers/document-site.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { deliver, startReceivers, status, type Receivers } from '../helpers/receivers.ts'
import { runJob, runLast } from '../helpers/run-job.ts'
import { startServer, until, type TestServer } from '../helpers/server.ts'

const loopback = { isAllowed: networks(['127.0.0.0/8']), setting: 'MINTMARK_DELIVERY_NETWORKS', seconds: 2 }

interface World {
  readonly server: TestServer
  readonly receivers: Receivers
  /** Works as a server does, by hand. */
  readonly outgoing: ReturnType<typeof openOutgoing>
  /** Those of which `onPaused` was told. */
  readonly paused: string[]
  /** Adds deliveries to a receiver, which is the path of that name. */
  add(receiver: string, contents: readonly string[], more?: Partial<NewDelivery>): Promise<void>
  /** What came to it, in order. */
  came(receiver: string): readonly string[]
  left(): Promise<
    readonly { readonly receiver: string; readonly content: string; readonly attempts: number }[]
  >
}

/** A kind of streams beside the server's own: each posts its content. */
function testKind({ origin }: Receivers, paused: string[]): DeliveryKind {
  return {
    kind: 'stream',
    spread: {},
    findReceiver: async id =>
      id === 'gone'
        ? undefined
        : {
            url: new URL(id.startsWith('http') ? id : `${origin}/${id}`),
            clientId: 'c1',
            postOf: async ({ content }) => {
              if (content === 'cannot be made') throw new Error('no key may sign now')
              return { headers: { 'content-type': 'text/plain' }, body: content }
            },
            outcomeOf: ({ status, text }) => {
              if (status === 200) return { kind: 'delivered' }
              return status === 400
                ? { kind: 'refused', reason: text }
                : { kind: 'failed', reason: `${status}` }
            },
          },
    onPaused: async (_sql, id) => void paused.push(id),
  }
}

async function world(t: Test, env: EngineEnv): Promise<World> {
  const server = await startServer(t, env)
  const receivers = await startReceivers(t)
  const { db, clock, log } = server.ctx
  const paused: string[] = []
  const kinds = [testKind(receivers, paused)]
  const outgoing = openOutgoing({ db, clock, log, reach: loopback, kinds })
  return {
    server,
    receivers,
    outgoing,
    paused,
    add: (receiver, contents, more = {}) =>
      db.transact(sql =>
        addDeliveries(
          sql,
          contents.map(content => ({
            kind: 'stream',
            receiver,
            subject: randomBytes(16),
            token_id: randomBytes(16),
            content,
            created_at: clock.now(),
            expires_at: null,
            ...more,
          })),
        ),
      ),
    came: receiver => receivers.at(`/${receiver}`).map(({ body }) => body),
    left: () =>
      db.sql.selectFrom('deliveries').select(['receiver', 'content', 'attempts']).orderBy('id').execute(),
  }
}

const receiverRows = ({ server }: World) => server.ctx.db.sql.selectFrom('receivers').selectAll().execute()
const audited = async ({ server }: World, event: string) =>
  (
    await server.ctx.db.sql.selectFrom('audit').selectAll().where('event', '=', event).orderBy('id').execute()
  ).map(({ client_id, actor, detail }) => ({ client_id, actor, ...JSON.parse(detail ?? '{}') }))
const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))

await forEachEngine(
  t,
  'deliveries reach their receiver once, and nothing is left of them',
  async (t, env) => {
    const w = await world(t, env)
    await w.add('a', numbers(250))
    await w.add('b', ['x'])
    await deliver(w.outgoing)
    t.strictSame([...w.came('a')].sort(), numbers(250).sort())
    t.strictSame(w.came('b'), ['x'])
    t.strictSame(await w.left(), [])
    t.strictSame(await receiverRows(w), [], 'nor of the receivers')
    t.ok(w.receivers.connections() <= 9, 'over few connections, which are kept')
    await deliver(w.outgoing)
    t.equal(w.came('a').length, 250)
  },
)

await forEachEngine(
  t,
  'of one subject a receiver gets everything in its order, failures included',
  async (t, env) => {
    const w = await world(t, env)
    const subject = randomBytes(16)
    let isDown = true
    w.receivers.answer('/a', (response, { body }) => {
      response.writeHead(body === '1' && isDown ? 503 : 200).end()
    })
    await w.add('a', ['0', '1', '2', '3'], { subject })
    await w.add('a', ['other'])
    await deliver(w.outgoing)
    t.strictSame(
      [...w.came('a')].sort(),
      ['0', '1', 'other'],
      'what comes after the one that fails waits, and another subject does not',
    )
    isDown = false
    await deliver(w.outgoing)
    t.equal(w.came('a').length, 3, 'it is not tried again at once')
    w.server.tick(2)
    await deliver(w.outgoing)
    t.strictSame(w.came('a').slice(-3), ['1', '2', '3'])
    t.strictSame(await w.left(), [])
  },
)

await forEachEngine(
  t,
  'a receiver that hangs, redirects, fails, talks too much or is not there holds up no other',
  async (t, env) => {
    const w = await world(t, env)
    w.receivers.answer('/hangs', () => {})
    w.receivers.answer('/redirects', status(307, '', { location: `${w.receivers.origin}/target` }))
    w.receivers.answer('/fails', status(500, 'oops'))
    w.receivers.answer('/closes', response => void response.destroy())
    w.receivers.answer('/upgrades', response => void response.socket?.end(anotherProtocol))
    w.receivers.answer('/talks', response => void response.end(Buffer.alloc(1_000_000, 'x')))
    w.receivers.answer('/drips', response => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('x'), 50)
      response.on('close', () => clearInterval(timer))
    })
    const closed = 'http://127.0.0.1:1/'
    const bad = ['hangs', 'redirects', 'fails', 'closes', 'upgrades', closed]
    for (const one of [...bad, 'talks', 'drips', 'good']) await w.add(one, numbers(20))
    await runJob(w.outgoing, 'delivering')
    await until(() => w.came('good').length === 20)
    t.ok(w.came('hangs').length <= 8, 'while another hangs, with few connections')
    await runLast(w.outgoing, 'delivering')
    t.equal(w.receivers.at('/target').length, 0, 'a redirect is not followed')
    t.equal(w.came('talks').length, 20, 'a success is one, whatever comes after it')
    t.equal(w.came('drips').length, 20, 'even where that does not end')
    const left = await w.left()
    for (const one of bad) {
      t.equal(left.filter(({ receiver }) => receiver === one).length, 20, `${one}: nothing is lost`)
      const tries = left.filter(({ receiver, attempts }) => receiver === one && attempts > 0).length
      t.ok(tries >= 1 && tries <= 16, `${one}: ${tries} were tried, and not all`)
    }
    t.equal(left.length, bad.length * 20)
    const rows = await receiverRows(w)
    t.strictSame(rows.map(({ id }) => id).sort(), bad.toSorted())
    t.match(Object.fromEntries(rows.map(({ id, last_error }) => [id, last_error])), {
      hangs: 'it did not answer in time',
      redirects: '307',
      fails: '500',
      [closed]: /ECONNREFUSED/,
    })
  },
)

t.test(
  'without a certificate that is believed nothing is told, and no slowness goes on for ever',
  async t => {
    const w = await world(t, {})
    const { origin, pages, asked } = await openDocumentSite(t)
    pages.set('/good', {})
    const { privateKey: key, certificate: cert } = await testCertificate({ subject: 'CN=nobody' })
    const told: string[] = []
    const stranger = createTlsServer({ key, cert }, (request, response) => {
      told.push(request.url ?? '')
      response.end()
    })
    /** Goes on with the same part until it is cut off; without one it says nothing. */
    const dripping = (first: string, part = '') =>
      createServer(socket => {
        socket.write(first)
        const timer = setInterval(() => socket.write(part), 20)
        socket.on('close', () => clearInterval(timer))
      })
    const at = async (server: Server, scheme = 'http') => {
      const sockets = new Set<Socket>()
      server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
      await once(server.listen(0, '127.0.0.1'), 'listening')
      t.teardown(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
      return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`
    }
    const late = 'it did not answer in time'
    const bad = new Map<string, string | RegExp>([
      [await at(stranger, 'https'), /certificate/],
      [await at(dripping('220 mail.example\r\n'), 'https'), /wrong version number/],
      [await at(dripping(''), 'https'), late],
      [await at(dripping('HTTP/1.1 200 O', 'O')), late],
      [await at(dripping('', 'HTTP/1.1 103 Early Hints\r\n\r\n')), late],
      [await at(dripping('HTTP/1.1 200 OK\r\n', `x: ${'x'.repeat(4000)}\r\n`)), /Header overflow/],
    ])
    for (const one of [...bad.keys(), `${origin}/good`]) await w.add(one, ['x'])
    await deliver(w.outgoing)
    t.strictSame(
      asked.map(({ path }) => path),
      ['/good'],
      'one whose certificate is believed is told',
    )
    t.strictSame(told, [])
    t.match(
      Object.fromEntries((await receiverRows(w)).map(({ id, last_error }) => [id, last_error])),
      Object.fromEntries(bad),
    )
    t.equal((await w.left()).length, bad.size, 'nothing is lost')
  },
)

await forEachEngine(
  t,
  'a receiver that is dead is tried less and less often, with one delivery',
  async (t, env) => {
    const w = await world(t, env)
    w.receivers.answer('/dead', status(503))
    await w.add('dead', numbers(30))
    await deliver(w.outgoing)
    let tried = w.came('dead').length
    t.ok(tried <= 16)
    const rests: number[] = []
    for (let i = 0; i < 5; i++) {
      const [row] = await receiverRows(w)
      const rest = (row?.next_attempt_at ?? 0) - w.server.ctx.clock.now()
      rests.push(rest)
      w.server.tick(rest - 1)
      await deliver(w.outgoing)
      t.equal(w.came('dead').length, tried, 'not earlier')
      w.server.tick(1)
      await deliver(w.outgoing)
      t.equal(w.came('dead').length, ++tried, 'one at a time')
    }
    rests.forEach((rest, i) => t.ok(rest >= 2 ** i && rest <= 1.5 * 2 ** i + 1, `rest ${i}: ${rest}`))
    w.receivers.answer('/dead', status(200))
    w.server.tick(3600)
    await deliver(w.outgoing)
    t.strictSame(await w.left(), [], 'once it is back it gets everything at once')
    t.strictSame(await receiverRows(w), [])
  },
)

await forEachEngine(
  t,
  'a receiver is served at once where the database has failed and is back',
  async (t, env) => {
    const w = await world(t, env)
    const { schema } = w.server.ctx.db.sql
    w.receivers.answer('/a', (response, { body }) => {
      const rename = schema.alterTable('deliveries').renameTo('elsewhere')
      void (body === '0' ? rename.execute() : Promise.resolve()).then(() => response.writeHead(200).end())
    })
    await w.add('a', ['0'])
    await deliver(w.outgoing)
    await schema.alterTable('elsewhere').renameTo('deliveries').execute()
    t.equal((await w.left()).length, 1, 'what has become of it could not be noted')
    w.receivers.answer('/a', status(200))
    await deliver(w.outgoing)
    t.strictSame(w.came('a'), ['0', '0'], 'so it is told once more')
    t.strictSame(await receiverRows(w), [])
  },
)

t.test('pauses double from a second to an hour, and differ by chance', async t => {
  t.strictSame(
    [1, 2, 3, 12, 13, 50].map(failures => pauseSeconds(failures, 0)),
    [1, 2, 4, 2048, 3600, 3600],
  )
  t.equal(pauseSeconds(13, 1), 5400)
  let [seconds, attempts] = [0, 0]
  while (seconds < triedSeconds) seconds += pauseSeconds(++attempts, 0.5)
  t.equal(attempts, attemptsMax, 'so many attempts are three days')
})

await forEachEngine(t, 'what is refused is not tried again, and is audited', async (t, env) => {
  const w = await world(t, env)
  w.receivers.answer('/a', (response, { body }) =>
    response.writeHead(body === 'bad' ? 400 : 200).end('invalid_request'),
  )
  await w.add('a', ['bad', 'good'])
  await deliver(w.outgoing)
  t.strictSame(await w.left(), [])
  t.strictSame(await audited(w, 'delivery_refused'), [
    { client_id: 'c1', actor: 'server', kind: 'stream', receiver: 'a', reason: 'invalid_request' },
  ])
  t.strictSame(await receiverRows(w), [], 'and its receiver is well')
})

await forEachEngine(
  t,
  'one that its receiver never takes is given up after about three days',
  async (t, env) => {
    const w = await world(t, env)
    w.receivers.answer('/a', (response, { body }) => response.writeHead(body === 'poison' ? 500 : 200).end())
    await w.add('a', ['poison'])
    const { db } = w.server.ctx
    await db.sql
      .updateTable('deliveries')
      .set({ attempts: attemptsMax - 2 })
      .execute()
    await w.add('a', ['good'])
    await deliver(w.outgoing)
    t.equal((await w.left()).length, 1)
    w.server.tick(2 * 3600)
    await w.add('a', ['good too'])
    await deliver(w.outgoing)
    t.strictSame(await w.left(), [])
    t.match(await audited(w, 'delivery_given_up'), [{ receiver: 'a', deliveries: 1, reason: '500' }])
  },
)

await forEachEngine(t, 'a receiver that has failed for three days is paused, and told of', async (t, env) => {
  const w = await world(t, env)
  w.receivers.answer('/a', status(500))
  await w.add('a', ['1'])
  await deliver(w.outgoing)
  w.server.tick(triedSeconds - 1)
  await deliver(w.outgoing)
  t.strictSame(w.paused, [], 'not earlier')
  w.server.tick(2 * 3600)
  await deliver(w.outgoing)
  t.strictSame(w.paused, ['a'])
  t.match(await audited(w, 'receiver_paused'), [{ client_id: 'c1', receiver: 'a', reason: '500' }])
  const tried = w.came('a').length
  await w.add('a', ['2'])
  w.server.tick(day)
  await deliver(w.outgoing)
  t.equal(w.came('a').length, tried, 'nothing is sent to it any more')
  t.equal((await w.left()).length, 2, 'and nothing is lost')

  w.receivers.answer('/a', status(200))
  const { db, clock } = w.server.ctx
  await db.transact(sql => resumeReceiver(sql, { kind: 'stream', id: 'a' }, clock.now()))
  await deliver(w.outgoing)
  t.strictSame(await w.left(), [], 'resumed, it gets what has waited')
})

await forEachEngine(t, 'a pause takes effect while something is on its way', async (t, env) => {
  const w = await world(t, env)
  const { db, clock } = w.server.ctx
  const key = { kind: 'stream', id: 'a' } as const
  let answer = () => {}
  w.receivers.answer('/a', response => (answer = () => void response.end()))
  await w.add('a', ['1'])
  await runJob(w.outgoing, 'delivering')
  await until(() => w.came('a').length === 1)
  await db.transact(sql => pauseReceiver(sql, key, clock.now()))
  await w.add('a', ['2'])
  answer()
  await runLast(w.outgoing, 'delivering')
  t.strictSame(
    (await w.left()).map(({ content }) => content),
    ['2'],
    'that was delivered is noted',
  )
  await deliver(w.outgoing)
  t.strictSame(w.came('a'), ['1'])
  await db.transact(sql => pauseReceiver(sql, { kind: 'stream', id: 'new' }, clock.now()))
  await w.add('new', ['3'])
  await deliver(w.outgoing)
  t.strictSame(w.came('new'), [], 'also of one that nothing was for')
})

await forEachEngine(t, 'what expires is dropped and counted, also of a dead receiver', async (t, env) => {
  const w = await world(t, env)
  w.receivers.answer('/a', status(500))
  const expires_at = w.server.ctx.clock.now() + 100
  await w.add('a', numbers(3), { expires_at })
  await w.add('a', ['stays'])
  await deliver(w.outgoing)
  w.server.tick(100)
  await deliver(w.outgoing)
  t.strictSame(
    (await w.left()).map(({ content }) => content),
    ['stays'],
  )
  t.match(await audited(w, 'delivery_given_up'), [{ receiver: 'a', deliveries: 3, reason: '500' }])
})

await forEachEngine(t, 'what waits for a receiver that is gone is forgotten', async (t, env) => {
  const w = await world(t, env)
  await w.add('gone', numbers(3))
  await deliver(w.outgoing)
  t.strictSame(await w.left(), [])
  t.strictSame(await receiverRows(w), [])
})

await forEachEngine(t, 'what its receiver fetches is not sent', async (t, env) => {
  const w = await world(t, env)
  await w.add('a', ['1'], { isFetched: true })
  await deliver(w.outgoing)
  t.strictSame(w.came('a'), [])
  t.equal((await w.left()).length, 1)
})

await forEachEngine(t, 'no receiver is to blame for what cannot be made', async (t, env) => {
  const w = await world(t, env)
  await w.add('a', ['cannot be made'])
  await deliver(w.outgoing)
  t.match(await w.left(), [{ attempts: 0 }])
  t.match(await receiverRows(w), [{ failures: 0, claimed_until: 0 }])
})

await forEachEngine(
  t,
  'a receiver whose deliveries wait for each other is left alone meanwhile',
  async (t, env) => {
    const w = await world(t, env)
    const subject = randomBytes(16)
    w.receivers.answer('/a', (response, { body }) => response.writeHead(body === '1' ? 500 : 200).end())
    await w.add('a', ['1', '2'], { subject })
    await w.add('a', ['other'])
    await deliver(w.outgoing)
    t.match(await receiverRows(w), [{ failures: 0 }], 'it is well')
    t.strictSame([...w.came('a')].sort(), ['1', 'other'])
    w.server.tick(1)
    await deliver(w.outgoing)
    t.equal((await w.left()).length, 2)
  },
)

await forEachEngine(
  t,
  'what takes long is noted before its claim has passed, and then its address is asked for anew',
  async (t, env) => {
    const w = await world(t, env)
    const tick = [31]
    w.receivers.answer('/a', response => {
      w.server.tick(tick.pop() ?? 0)
      response.end()
    })
    await w.add('a', numbers(20))
    await deliver(w.outgoing)
    t.strictSame([...w.came('a')].sort(), numbers(20).sort())
    t.equal(w.receivers.connections(), 16, 'eight before, and eight others after it')
  },
)

await forEachEngine(t, 'nothing is sent to a private address that is not allowed', async (t, env) => {
  const w = await world(t, env)
  for (const url of ['http://localhost:1/', 'https://10.0.0.1/', 'https://[fd00::1]/', 'http://192.0.2.1/'])
    await w.add(url, ['1'])
  // Not even looked up.
  for (const url of ['http://api.invalid/', 'https://name:secret@api.invalid/']) await w.add(url, ['1'])
  const { db, clock, log } = w.server.ctx
  const reach = { ...loopback, isAllowed: networks([]) }
  const outgoing = openOutgoing({ db, clock, log, reach, kinds: [testKind(w.receivers, [])] })
  await deliver(outgoing)
  const errors = (await receiverRows(w)).map(({ last_error }) => last_error)
  t.equal(errors.length, 6)
  for (const error of errors)
    t.match(error, /a private address that MINTMARK_DELIVERY_NETWORKS does not allow|is not https/)
  t.notMatch(errors.join(), 'secret')
})

await forEachEngine(t, 'of several instances one works for a receiver', async (t, env) => {
  const w = await world(t, env)
  const { db, clock, log } = w.server.ctx
  const open = () => openOutgoing({ db, clock, log, reach: loopback, kinds: [testKind(w.receivers, [])] })
  const instances = [open(), open(), open(), open()]
  for (let round = 0; round < 5; round++) {
    await w.add('a', numbers(150))
    await Promise.all(instances.map(deliver))
  }
  await deliver(w.outgoing)
  t.equal(w.came('a').length, 750, 'none comes twice')
  t.strictSame(await w.left(), [])
})

await forEachEngine(
  t,
  'a claim holds also where the clock of another instance is a little behind',
  async (t, env) => {
    const w = await world(t, env)
    const { db, clock } = w.server.ctx
    await w.add('a', ['1'])
    const now = clock.now()
    const claim = (at: number) => claimReceiver(db, { now: at, isFailing: false })
    t.match(await claim(now + 1), { id: 'a' })
    t.equal(await claim(now), undefined, 'of the second before')
    w.server.tick(-3600)
    await db.sql.updateTable('deliveries').set({ next_attempt_at: clock.now() }).execute()
    t.match(await claim(clock.now()), { id: 'a' }, 'one from far ahead is none')
  },
)

await forEachEngine(t, 'a worker that is gone is replaced, and notes nothing any more', async (t, env) => {
  const w = await world(t, env)
  const { db, clock, log } = w.server.ctx
  const answers: (() => void)[] = []
  w.receivers.answer('/a', response => answers.push(() => void response.end()))
  await w.add('a', ['1'])
  await runJob(w.outgoing, 'delivering')
  await until(() => answers.length === 1)
  const other = openOutgoing({ db, clock, log, reach: loopback, kinds: [testKind(w.receivers, [])] })
  await deliver(other)
  t.equal(answers.length, 1, 'while it may be alive it is left alone')
  w.server.tick(61)
  await runJob(other, 'delivering')
  await until(() => answers.length === 2)
  answers[0]?.()
  await runLast(w.outgoing, 'delivering')
  t.equal((await w.left()).length, 1, 'the first has lost it')
  answers[1]?.()
  await runLast(other, 'delivering')
  t.strictSame(await w.left(), [])
})

await forEachEngine(t, 'what is added while its receiver is left is delivered', async (t, env) => {
  const w = await world(t, env)
  let left = 150
  const adding: Promise<void>[] = []
  w.receivers.answer('/a', response => {
    response.end()
    if (left-- > 0) adding.push(w.add('a', [String(left)]))
  })
  await w.add('a', ['first'])
  for (let i = 0; i < 400 && (left > 0 || (await w.left()).length > 0); i++) await deliver(w.outgoing)
  await Promise.all(adding)
  await deliver(w.outgoing)
  t.equal(w.came('a').length, 151)
  t.strictSame(await w.left(), [])
})

await forEachEngine(
  t,
  'each row of a feed is taken once, whoever takes it, and whatever fails',
  async (t, env) => {
    const server = await startServer(t, env)
    const { db, config } = server.ctx
    const other = openDatabase(config.databaseUrl)
    t.teardown(() => other.close())
    const insert = (count: number) =>
      db.sql
        .insertInto('events')
        .values(
          numbers(count).map(() => ({
            id: randomBytes(16),
            at: 1,
            kind: 'all' as const,
            reason: 'x',
            audiences: null,
            user_id: null,
            client_id: null,
            session_id: null,
            detail: null,
          })),
        )
        .execute()
    const taken: number[] = []
    let failures = 5
    const take = async (from: typeof db): Promise<void> => {
      const rows: number[] = []
      const count = await takeNext(from, 'events', 7, async (sql, some) => {
        rows.splice(0)
        rows.push(...some.map(({ seq }) => seq))
        await addDeliveries(
          sql,
          some.map(({ id }) => ({
            ...{ kind: 'stream', receiver: 'a', subject: id, token_id: id, content: '' },
            ...{ created_at: 1, expires_at: null, isFetched: true },
          })),
        )
        if (failures-- > 0) throw new Error('it was killed')
      })
      if (count > 0) taken.push(...rows)
    }
    await insert(100)
    for (let i = 0; i < 40; i++) await Promise.all([db, other].map(from => take(from).catch(() => {})))
    t.strictSame(
      taken.toSorted((a, b) => a - b),
      [...new Set(taken)].toSorted((a, b) => a - b),
    )
    t.equal(taken.length, 100)
    const rows = await db.sql.selectFrom('deliveries').select('subject').execute()
    t.equal(rows.length, 100)
    t.equal(new Set(rows.map(({ subject }) => subject.toString('hex'))).size, 100)
  },
)

await forEachEngine(t, 'metrics and the end of a server', async (t, env) => {
  const w = await world(t, env)
  w.receivers.answer('/a', status(500))
  w.receivers.answer('/hangs', () => {})
  await w.add('a', ['1'])
  await w.add('b', ['1'])
  await deliver(w.outgoing)
  w.server.tick(7)
  await runJob(w.outgoing, 'looking through the deliveries')
  const shown = (name: string) => {
    const metric = w.outgoing.metrics.find(one => one.name === name)
    return metric && 'samples' in metric ? [...metric.samples()] : []
  }
  const kind = 'stream'
  t.strictSame(shown('mintmark_deliveries_total'), [
    [{ kind, outcome: 'delivered' }, 1],
    [{ kind, outcome: 'dropped' }, 0],
    [{ kind, outcome: 'refused' }, 0],
    [{ kind, outcome: 'failed' }, 1],
    [{ kind, outcome: 'given_up' }, 0],
  ])
  t.strictSame(shown('mintmark_deliveries_waiting'), [[{ kind }, 1]])
  t.strictSame(shown('mintmark_oldest_delivery_seconds'), [[{ kind }, 7]])
  t.strictSame(shown('mintmark_receivers_failing'), [[{ kind }, 1]])
  t.strictSame(shown('mintmark_receivers_paused'), [[{ kind }, 0]])

  await w.add('hangs', ['1'])
  const stopping = new AbortController()
  await w.outgoing.jobs.find(({ name }) => name === 'delivering')?.run(stopping.signal)
  await until(() => w.came('hangs').length === 1)
  stopping.abort()
  await runLast(w.outgoing, 'delivering')
  const left = await w.left()
  t.match(
    left.find(({ receiver }) => receiver === 'hangs'),
    { attempts: 0 },
    'what a server that ends has cut off is no failure',
  )
  t.match(
    (await receiverRows(w)).find(({ id }) => id === 'hangs'),
    { failures: 0, claimed_until: 0 },
    'and it is left to others at once',
  )
})

await forEachEngine(t, 'however many wait, few of them are counted', async (t, env) => {
  const { server, add } = await world(t, env)
  const { db, clock } = server.ctx
  await add('away', ['first'])
  server.tick(60)
  const contents = Array.from({ length: countedDeliveriesMax + 5 }, () => '')
  await add('away', contents, { isFetched: true })
  const oldestAt = clock.now() - 60
  t.strictSame(await countDeliveries(db), [{ kind: 'stream', waiting: countedDeliveriesMax, oldestAt }])
  const stream = randomBytes(16)
  await add(laneOf(stream).id, ['first'])
  server.tick(60)
  await add(laneOf(stream).id, contents, { isFetched: true })
  t.match(await findStreamDeliveries(db, stream), {
    waiting: countedDeliveriesMax,
    oldestAt: clock.now() - 60,
  })
})
