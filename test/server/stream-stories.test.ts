import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { formatUuid, newUuid } from '../../src/protocol/secrets.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { toLoopback, type Receive } from '../helpers/receivers.ts'
import { runJob, runLast } from '../helpers/run-job.ts'
import { shareOf } from '../helpers/runs.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'
import { mail, orders, poll, push, streamWorld, type ReceiverClient } from '../helpers/streams.ts'

const users = [randomBytes(16), randomBytes(16)]

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('act' as const),
      user: fc.constantFrom(0, 1),
      audience: fc.constantFrom(orders, orders, mail, `${mail} ${orders}`),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('work' as const),
      by: fc.constantFrom('one' as const, 'other' as const, 'both' as const),
      /** What the receiver does with what it gets, one after the other; it takes what comes after that. */
      answers: fc.array(fc.constantFrom('take', 'refuse', 'fail', 'lose', 'stop'), { maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fetch' as const),
      maxEvents: fc.constantFrom(0, 1, 2, 100),
      acknowledges: fc.boolean(),
      refuses: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      to: fc.constantFrom('paused', 'enabled', 'enabled', push, poll),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 61, 4000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const) }) },
)

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

/** Does the work of two servers that bring events to receivers, and may be stopped in the middle of it. */
function workers(one: TestServer, other: TestServer) {
  let stopping = new AbortController()
  const work = async (server: TestServer) => {
    await runJob(server, 'finding what to deliver', stopping.signal)
    await runJob(server, 'delivering', stopping.signal)
    await runLast(server, 'delivering')
  }
  return {
    stop: () => stopping.abort(),
    work: async (by: 'one' | 'other' | 'both') => {
      stopping = new AbortController()
      if (by === 'both') await Promise.all([work(one), work(other)])
      else await work(by === 'one' ? one : other)
    },
    tick: (seconds: number) => {
      one.tick(seconds)
      other.tick(seconds)
    },
  }
}

interface Told {
  readonly txn: string
  readonly user: number
  readonly audience: string
}

/** What a receiver hears, which is judged at once. */
function hearing(told: readonly Told[], resource: string) {
  const heard: string[] = []
  /** It said so, or has fetched it. */
  const answered = new Set<string>()
  const faults: string[] = []
  const own = () => told.filter(({ audience }) => audience.includes(resource))
  return {
    faults,
    /** Whether it is the turn of this one: all of that user before it were taken, or refused. */
    arrives: (jwt: string, isPaused: boolean): string => {
      const { txn } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
      const event = own().find(one => one.txn === txn)
      if (!event) faults.push(`${txn} is of nobody here`)
      if (isPaused) faults.push(`${txn} came while the stream was paused`)
      for (const { txn: before, user } of own()) {
        if (before === txn) break
        if (user === event?.user && !answered.has(before)) faults.push(`${txn} came before ${before}`)
      }
      return txn
    },
    hear: (txn: string) => void (heard.includes(txn) || heard.push(txn)),
    answer: (txn: string) => void answered.add(txn),
    missed: () => own().filter(({ txn }) => !heard.includes(txn)),
  }
}

await forEachEngine(
  t,
  'invariants 25 and 27: each event comes to each receiver of its own, in order, whatever comes in between',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const { server, receivers } = w
    const { db, clock } = server.ctx
    const beside = await startServer(t, { ...besideEnv(server), ...toLoopback })
    const both = workers(server, beside)
    const [receiver, other] = [await w.receiver('orders', orders), await w.receiver('mail', mail)]
    let stories = 0

    const tell = async (method: string, steps: readonly Step[]) => {
      const path = `/${stories++}`
      const told: Told[] = []
      const [atOrders, atMail] = [hearing(told, orders), hearing(told, mail)]
      const state = { status: 'enabled', answers: [] as string[], fetched: [] as string[] }
      await both.work('one')
      const id = await w.pushTo(receiver, path)
      const otherId = await w.pushTo(other, `${path}/mail`)
      receivers.answer(`${path}/mail`, (response, { body }) => {
        const txn = atMail.arrives(body, false)
        atMail.hear(txn)
        atMail.answer(txn)
        response.writeHead(202).end()
      })
      receivers.answer(path, (response, { body }) => {
        const txn = atOrders.arrives(body, state.status === 'paused')
        answerAs(state.answers.shift() ?? 'take', { response, stop: both.stop, ...atOrders, txn })
      })
      const fetch = async (asked: object) => {
        const answer = await receiver.ask('POST', `/ssf/poll/${id}`, { returnImmediately: true, ...asked })
        if (answer.statusCode !== 200) return []
        const sets = Object.entries<string>(answer.json().sets)
        for (const [, jwt] of sets) {
          const txn = atOrders.arrives(jwt, state.status === 'paused')
          atOrders.hear(txn)
          atOrders.answer(txn)
        }
        return sets.map(([jti]) => jti)
      }
      const perform = async (one: Step) => {
        switch (one.do) {
          case 'act': {
            const row = newUuid(clock.now())
            told.push({ txn: formatUuid(row), user: one.user, audience: one.audience })
            await db.sql
              .insertInto('events')
              .values({
                id: row,
                at: clock.now(),
                kind: 'session',
                reason: 'client',
                audiences: one.audience,
                user_id: users[one.user] ?? null,
                session_id: randomBytes(16),
              })
              .execute()
            return
          }
          case 'work':
            state.answers = [...one.answers]
            return both.work(one.by)
          case 'fetch': {
            const ack = one.acknowledges ? state.fetched.slice(0, 1) : []
            const refused = one.refuses ? state.fetched.slice(1, 2) : []
            const setErrs = Object.fromEntries(refused.map(jti => [jti, { err: 'invalid_request' }]))
            state.fetched = await fetch({ maxEvents: one.maxEvents, ack, setErrs })
            return
          }
          case 'set':
            return set(receiver, id, one.to)
          case 'wait':
            return both.tick(one.seconds)
          case 'die':
            // As who is killed leaves it.
            await db.sql
              .updateTable('receivers')
              .set({ claimed_until: clock.now() + 60 })
              .execute()
        }
      }
      const set = async (client: ReceiverClient, stream_id: string, to: string) => {
        const isStatus = to === 'paused' || to === 'enabled'
        const delivery = { method: to, ...(to === push && { endpoint_url: receivers.origin + path }) }
        const answer = isStatus
          ? await client.ask('POST', '/ssf/status', { stream_id, status: to })
          : await client.ask('PATCH', '/ssf/streams', { stream_id, delivery })
        assert.equal(answer.statusCode, 200)
        if (isStatus) state.status = to
      }
      await set(receiver, id, method)
      for (const one of steps) await perform(one)

      // From here on all is well.
      state.answers = []
      await set(receiver, id, 'enabled')
      const left = () => db.sql.selectFrom('deliveries').selectAll().execute()
      for (let i = 0; i < 3; i++) {
        both.tick(4000)
        await both.work('both')
        for (let ack = await fetch({}); ack.length > 0;) ack = await fetch({ ack })
      }
      assert.deepEqual([...atOrders.faults, ...atMail.faults], [])
      assert.deepEqual([atOrders.missed(), atMail.missed()], [[], []])
      assert.deepEqual(await left(), [])
      await receiver.ask('DELETE', `/ssf/streams?stream_id=${id}`)
      await other.ask('DELETE', `/ssf/streams?stream_id=${otherId}`)
    }
    const anySteps = fc.array(step, { minLength: 20, maxLength: 40 })
    const anyStory = fc.asyncProperty(fc.constantFrom(push, poll), anySteps, tell)
    await fc.assert(anyStory, { numRuns: shareOf(24) })
    t.pass(`${stories} stories`)
  },
)

interface Arrival {
  readonly response: Parameters<Receive>[0]
  readonly txn: string
  readonly stop: () => void
  readonly hear: (txn: string) => void
  readonly answer: (txn: string) => void
}

function answerAs(how: string, { response, txn, stop, hear, answer }: Arrival): void {
  if (how === 'fail') return void response.writeHead(503).end()
  if (how === 'stop') {
    stop()
    return void response.destroy()
  }
  hear(txn)
  // It took it, and the server never learns of that.
  if (how === 'lose') return void response.destroy()
  answer(txn)
  if (how === 'take') response.writeHead(202).end()
  else response.writeHead(400).end('{"err":"invalid_request"}')
}
