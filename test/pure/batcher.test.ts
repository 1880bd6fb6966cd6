import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { batcher, UnknownOutcome, type BatcherOptions, type Take } from '../../db/engines/batcher.ts'

interface Entry {
  readonly session: string
  readonly generation: number
  readonly mayCoalesce: boolean
}

const entry = (session: string, generation = 0, mayCoalesce = true): Entry => ({
  session,
  generation,
  mayCoalesce,
})

/** The rules of a batch for entries of sessions, and a commit that the test decides on. */
function open(
  commit: (entries: readonly Entry[], take: Take<Entry>) => Promise<readonly string[]>,
  options: Partial<BatcherOptions<Entry, string>> = {},
) {
  const batches: string[][] = []
  const add = batcher<Entry, string>({
    keyOf: ({ session }) => session,
    isSame: (a, b) => a.mayCoalesce && b.mayCoalesce && a.generation === b.generation,
    mayBeOneEntry: () => true,
    limit: 4,
    patienceMs: 60_000,
    gatherMs: 60_000,
    ...options,
    commit: async take => {
      const entries = take()
      batches.push(entries.map(({ session, generation }) => `${session}${generation}`))
      return commit(entries, take)
    },
  })
  return { add, batches }
}

/** So long that what waited for a turn without news has got it. */
async function turns(count = 10): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn()
}

const answers = (entries: readonly Entry[]) => entries.map(({ session }) => `${session} moved`)
const succeed = async (entries: readonly Entry[]) => answers(entries)

/** What became of each, without waiting for the others. */
async function outcomes(promises: readonly Promise<string>[]): Promise<string[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map(result =>
    result.status === 'fulfilled' ? result.value : `refused: ${String(result.reason.message)}`,
  )
}

t.test('what arrives together is committed together, up to a limit', async t => {
  const { add, batches } = open(succeed)
  const all = await outcomes(['a', 'b', 'c', 'd', 'e'].map(session => add(entry(session))))
  t.strictSame(all, ['a moved', 'b moved', 'c moved', 'd moved', 'e moved'])
  t.strictSame(batches, [['a0', 'b0', 'c0', 'd0'], ['e0']])
})

t.test('a batch gathers as long as each turn of the event loop brings more, but not for ever', async t => {
  const { add, batches } = open(succeed, { limit: 100 })
  const all: Promise<string>[] = []
  for (let i = 0; i < 5; i++) {
    all.push(add(entry(`s${i}`)))
    await nextTurn()
  }
  await turns()
  t.strictSame(batches, [['s00', 's10', 's20', 's30', 's40']])
  for (let i = 0; i < 30; i++) {
    all.push(add(entry(`s${i}`)))
    await nextTurn()
  }
  t.ok(batches.length > 2, 'a stream without end is committed piece by piece')
  await outcomes(all)
})

t.test('a batch gathers no longer than it may, however slow the turns are', async t => {
  const { add, batches } = open(succeed, { limit: 100, gatherMs: 0 })
  const all = [add(entry('a'))]
  await nextTurn()
  all.push(add(entry('b')))
  await outcomes(all)
  t.strictSame(batches, [['a0'], ['b0']])
})

t.test('what arrives while a batch is on its way makes the next one', async t => {
  const gate = Promise.withResolvers<void>()
  const { add, batches } = open(async entries => {
    await gate.promise
    return answers(entries)
  })
  const first = add(entry('a'))
  await turns()
  const others = [add(entry('b')), add(entry('c'))]
  await turns()
  t.strictSame(batches, [['a0']], 'there is one commit at a time')
  gate.resolve()
  await outcomes([first, ...others])
  t.strictSame(batches, [['a0'], ['b0', 'c0']])
})

t.test('a commit that has waited takes along what came in that time, up to the limit', async t => {
  const gate = Promise.withResolvers<void>()
  const taken: string[][] = []
  const { add, batches } = open(async (_entries, take) => {
    await gate.promise
    const entries = take()
    taken.push(entries.map(({ session }) => session))
    return answers(entries)
  })
  const all = [add(entry('a'))]
  await turns()
  for (const session of ['b', 'a', 'c', 'd', 'e']) all.push(add(entry(session)))
  await turns()
  gate.resolve()
  const moved = ['a', 'b', 'a', 'c', 'd', 'e'].map(session => `${session} moved`)
  t.strictSame(await outcomes(all), moved)
  t.strictSame(taken, [['a', 'b', 'c', 'd'], ['e']], 'also the answer of its own that another asked for')
  t.strictSame(batches, [['a0'], ['e0']])
})

t.test('one that is tried by itself takes nothing along', async t => {
  const later: Promise<string>[] = []
  const { add, batches } = open(async entries => {
    if (entries.length === 1) return answers(entries)
    later.push(add(entry('c')))
    throw new Error('a bad row')
  })
  t.strictSame(await outcomes([add(entry('a')), add(entry('b'))]), ['a moved', 'b moved'])
  t.strictSame(await outcomes(later), ['c moved'])
  t.strictSame(batches, [['a0', 'b0'], ['a0'], ['b0'], ['c0']])
})

t.test('nobody is answered before the commit', async t => {
  const gate = Promise.withResolvers<void>()
  const { add } = open(async entries => {
    await gate.promise
    return answers(entries)
  })
  let answered = 0
  const all = ['a', 'a', 'b'].map(session => add(entry(session)).then(() => answered++))
  await turns()
  t.equal(answered, 0)
  gate.resolve()
  await Promise.all(all)
  t.equal(answered, 3)
})

t.test('a session is in a batch once: equal entries share one answer, others wait for the next', async t => {
  const { add, batches } = open(succeed)
  const shared = [add(entry('a')), add(entry('a')), add(entry('b')), add(entry('a', 1)), add(entry('a'))]
  await outcomes(shared)
  t.strictSame(batches, [['a0', 'b0'], ['a1']])

  batches.length = 0
  await outcomes([add(entry('s', 0, false)), add(entry('s', 0, false)), add(entry('s'))])
  t.strictSame(batches, [['s0'], ['s0'], ['s0']], 'those of a strict client never share one')
})

t.test('a definite failure splits the batch: a bad entry does not fail its neighbours', async t => {
  const { add, batches } = open(async entries => {
    if (entries.some(({ session }) => session === 'bad')) throw new Error('a bad row')
    return answers(entries)
  })
  const all = [add(entry('a')), add(entry('bad')), add(entry('bad')), add(entry('c'))]
  t.strictSame(await outcomes(all), ['a moved', 'refused: a bad row', 'refused: a bad row', 'c moved'])
  t.strictSame(batches, [['a0', 'bad0', 'c0'], ['a0'], ['bad0'], ['c0']])
  t.equal(await add(entry('d')), 'd moved', 'and the next batch knows nothing of it')
})

t.test("what is nobody's own fault fails all, and is not tried again one by one", async t => {
  const { add, batches } = open(
    async () => {
      throw new Error('the database is locked')
    },
    { mayBeOneEntry: () => false },
  )
  const all = await outcomes([add(entry('a')), add(entry('b'))])
  t.strictSame(all, ['refused: the database is locked', 'refused: the database is locked'])
  t.strictSame(batches, [['a0', 'b0']])
})

t.test('an unknown outcome is never tried again: it may have happened', async t => {
  let isLost = true
  const { add, batches } = open(async entries => {
    if (isLost) throw new UnknownOutcome('the answer to COMMIT was lost')
    return answers(entries)
  })
  const all = await outcomes([add(entry('a', 0, false)), add(entry('b')), add(entry('c'))])
  t.strictSame(all, Array(3).fill('refused: the answer to COMMIT was lost'))
  t.strictSame(batches, [['a0', 'b0', 'c0']], 'neither together nor one by one')
  isLost = false
  t.equal(await add(entry('a', 1)), 'a moved', 'what comes later is')

  batches.length = 0
  let commits = 0
  const split = open(async entries => {
    commits++
    if (entries.length > 1) throw new Error('a bad row')
    throw new UnknownOutcome('the answer to COMMIT was lost')
  })
  t.strictSame(
    await outcomes([split.add(entry('a')), split.add(entry('b'))]),
    Array(2).fill('refused: the answer to COMMIT was lost'),
  )
  t.equal(commits, 3, 'also one that was split off is tried once')
})

t.test('whoever has waited too long for a batch is refused, and nothing was done', async t => {
  const gate = Promise.withResolvers<void>()
  const { add, batches } = open(
    async entries => {
      await gate.promise
      return answers(entries)
    },
    { patienceMs: 1000 },
  )
  const first = add(entry('a'))
  await turns()
  const waiting = add(entry('b'))
  await sleep(1010)
  const fresh = add(entry('c'))
  gate.resolve()
  const [a, b, c] = await outcomes([first, waiting, fresh])
  t.equal(a, 'a moved', 'a commit that takes long is waited for')
  t.match(b, /^refused: .*too slow/)
  t.equal(c, 'c moved')
  t.strictSame(batches, [['a0'], ['c0']])
})
