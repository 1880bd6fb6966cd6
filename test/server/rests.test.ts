import t, { type Test } from 'tap'
import { buildAdminApp } from '../../src/admin-api/face.ts'
import { openAdmission } from '../../src/load/admission.ts'
import { longestWork, openRests, restShare } from '../../src/load/rests.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { startServer } from '../helpers/server.ts'

/** Time passes with each work, and with each rest unless told; each rest is noted. */
function world({ rested = true } = {}) {
  const hand = handClock()
  const rests: number[] = []
  const pause = async (seconds: number) => {
    rests.push(seconds)
    if (rested) hand.tick(seconds)
    await hand.pause(0)
  }
  const clock = { ...hand, pause }
  const { admission } = openAdmission(clock)
  const rest = openRests(clock, admission)
  const act = (who: string, seconds: number) =>
    admission.admit('other', () => rest(who, async () => hand.tick(seconds)))
  /** A refresh, which is under way until it is ended. */
  const begin = () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = admission.admit('refresh', () => promise)
    return async () => {
      resolve()
      await done
    }
  }
  return { hand, admission, rests, rest, act, begin }
}

/** The rests, to the millisecond. */
function areRests(t: Test, rests: number[], expected: readonly number[], title: string): void {
  t.strictSame(
    rests.splice(0).map(seconds => Math.round(seconds * 1000)),
    expected.map(seconds => Math.round(seconds * 1000)),
    title,
  )
}

t.test('a program that administers without a pause rests while there is other work', async t => {
  const { hand, rests, act, begin } = world()
  for (let i = 0; i < 10; i++) await act('ops', 0.01)
  areRests(t, rests, [], 'with nothing else to do, all are done at once')

  const end = begin()
  await act('ops', 0.01)
  areRests(t, rests, [restShare * 0.01], 'beside a refresh it rests for what was done before')
  await act('ops', 0.02)
  areRests(t, rests, [restShare * 0.01], 'and after each')
  await act('other', 0.01)
  areRests(t, rests, [], 'for which no other program waits')
  await act('ops', 0.01)
  areRests(t, rests, [restShare * 0.02 - 0.01], 'what was done for another is a part of the rest')
  hand.tick(restShare * 0.01 + 0.001)
  await act('ops', 0.01)
  areRests(t, rests, [], 'who comes later has rested')
  await end()
  await act('ops', 0.01)
  areRests(t, rests, [restShare * 0.01], 'a refresh that was there until a moment ago counts')
  await act('ops', 0.01)
  areRests(t, rests, [], 'but once')
  await begin()()
  await act('ops', 5)
  areRests(t, rests, [restShare * 0.01], 'so does one that came and went')
  await begin()()
  await act('ops', 0.01)
  areRests(t, rests, [restShare * longestWork], 'nobody rests for long')
})

t.test('what a program sends at once is done one after the other, with rests', async t => {
  const { rests, rest, act, begin, admission } = world({ rested: false })
  await act('ops', 0.01)
  const end = begin()
  const many = Array.from({ length: 5 }, () => admission.admit('other', () => rest('ops', async () => {})))
  await Promise.all(many)
  const each = (1 + restShare) * 0.01
  areRests(
    t,
    rests,
    Array.from(many, (_, i) => restShare * 0.01 + i * each),
    'each has its place in time',
  )
  await end()
})

t.test('who fails has worked too', async t => {
  const { hand, rests, rest, act, begin, admission } = world()
  const fail = async () => {
    hand.tick(0.01)
    throw new Error('it fails')
  }
  const end = begin()
  await t.rejects(
    admission.admit('other', () => rest('ops', fail)),
    /it fails/,
  )
  await act('ops', 0.01)
  areRests(t, rests, [restShare * 0.01], 'and rests')
  await end()
  await act('ops', 0)
  await act('ops', 0)
  areRests(t, rests, [restShare * 0.01], 'and counts as other work no more')
})

t.test('who has to rest is not forgotten among many others', async t => {
  const { rests, act, begin } = world()
  const end = begin()
  await act('ops', 0.04)
  for (let i = 0; i < 150; i++) await act(`program ${i}`, 0.001)
  await act('ops', 0.01)
  areRests(t, rests, [restShare * 0.04 - 0.15], 'it rests for what was done before them')
  await end()
})

t.test('all routes of the admin API share the rests of a program', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const rests: number[] = []
  let steady = server.ctx.clock.steady()
  const clock = {
    ...server.ctx.clock,
    steady: () => (steady += 0.01),
    pause: async (seconds: number) => void rests.push(seconds),
  }
  const load = { ...server.ctx.load, rests: openRests(clock, server.ctx.load.admission) }
  const app = buildAdminApp({ ...server.ctx, load }, { idOf: () => undefined })
  t.teardown(() => app.close())
  const get = async (path: string) => {
    const url = `/admin/v1${path}`
    const { statusCode } = await app.inject({ url, headers: await ask.credentials('GET', url) })
    t.equal(statusCode, 200)
  }
  await get('/users')
  await get('/clients')
  t.strictSame(rests, [])
  const { promise, resolve } = Promise.withResolvers<void>()
  const refresh = server.ctx.load.admission.admit('refresh', () => promise)
  await get('/users')
  await get('/clients')
  t.equal(rests.length, 2)
  resolve()
  await refresh
})
