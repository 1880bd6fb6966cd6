import t from 'tap'
import { databaseClock, systemClock } from '../../src/clock.ts'
import { handClock } from '../helpers/hand-clock.ts'

t.test("a database's clock", async t => {
  t.test('is the local one until it has been asked', async t => {
    const local = handClock(1000)
    const clock = databaseClock(local)
    t.equal(clock.now(), 1000)
    local.setClock(5)
    t.equal(clock.now(), 5)
    t.equal(clock.steady, local.steady, 'and lasts as the local one does')
    await clock.pause(3600)
  })

  t.test('then goes on by the steady clock, whatever the time of day here', async t => {
    const local = handClock(1000)
    const clock = databaseClock(local)
    clock.adjust(2000.9, local.steady())
    t.equal(clock.now(), 2000, 'whole seconds that have passed')
    local.tick(0.1)
    t.equal(clock.now(), 2001)
    local.setClock(5)
    t.equal(clock.now(), 2001)
  })

  t.test('is in the middle of question and answer, as far as is known', async t => {
    const local = handClock()
    const clock = databaseClock(local)
    const askedAt = local.steady()
    local.tick(10)
    clock.adjust(2000, askedAt)
    t.equal(clock.now(), 2005)
    local.tick(1)
    clock.adjust(2010, local.steady())
    t.equal(clock.now(), 2010, 'a quick answer says otherwise')
    const again = local.steady()
    local.tick(10)
    clock.adjust(2012, again)
    t.equal(clock.now(), 2020, 'a slow one that may mean the same changes nothing')
    const setBack = local.steady()
    local.tick(10)
    clock.adjust(1000, setBack)
    t.equal(clock.now(), 1005, 'and one that cannot mean the same does')
  })
})

t.test("the machine's clock", async t => {
  const { now, steady, pause } = systemClock()
  t.ok(Number.isInteger(now()), 'tells whole seconds')
  const startedAt = steady()
  await pause(0.05)
  const rested = steady() - startedAt
  t.ok(rested >= 0.04 && rested < 5, 'and rests for seconds')
  const signal = AbortSignal.abort()
  await pause(3600, signal)
  t.ok(steady() - startedAt < 60, 'but not when a signal ends it')
})
