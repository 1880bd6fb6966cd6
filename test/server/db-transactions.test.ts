import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql as fragment, type Kysely } from 'kysely'
import t from 'tap'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { Tables } from '../../db/schema.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { step, take, type Steps, type WorkInSteps } from '../../db/steps.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { makeMigrated } from '../helpers/migrated.ts'
import { madeAt, openSeeded, rotationOf } from '../helpers/records.ts'
import { scratchFolder } from '../helpers/scratch.ts'

function* addResource(sql: Kysely<Tables>, uri: string): Steps<string> {
  const settings = {
    scope: '',
    scope_words: '{}',
    alg: 'ES256',
    previous_alg: null,
    access_token_seconds: null,
    has_status: 1,
    is_open: 0,
    personal_access_tokens: 0,
    authorization_details_types: '{}',
  }
  yield* step(
    sql
      .insertInto('resources')
      .values({ uri, ...settings, created_at: madeAt })
      .compile(),
  )
  return uri
}

type Transact = (work: WorkInSteps<string>) => Promise<string>

const inTurns =
  (db: Database): Transact =>
  work =>
    db.transact(transaction => take(transaction, work(transaction)))

/** Work in steps can be done in two ways. */
const waysOf = (db: Database): readonly [way: string, transact: Transact][] => [
  ['in turns', inTurns(db)],
  ['at once', work => db.transactAtOnce(work)],
]

async function storedUris({ sql: reader }: Pick<Database, 'sql'>): Promise<readonly string[]> {
  const rows = await reader.selectFrom('resources').select('uri').orderBy('uri').execute()
  return rows.map(({ uri }) => uri)
}

const broken = new Error('it cannot be')

await forEachEngine(
  t,
  'of transactions that arrive together, one that fails leaves nothing behind and takes no other with it',
  async (t, env) => {
    const { db } = await openSeeded(t, env)
    for (const [way, transact] of waysOf(db)) {
      await t.test(way, async t => {
        const before = await storedUris(db)
        const [a, b, c] = [`https://a.example/${way}`, `https://b.example/${way}`, `https://c.example/${way}`]
        const failing = function* (sql: Kysely<Tables>): Steps<string> {
          yield* addResource(sql, b)
          throw broken
        }
        const settled = await Promise.allSettled([
          transact(sql => addResource(sql, a)),
          transact(failing),
          transact(sql => addResource(sql, a)),
          transact(sql => addResource(sql, c)),
        ])
        const added = settled.filter(({ status }) => status === 'fulfilled')
        t.equal(added.length, 2, 'one of two that are the same, and the last one')
        t.match(settled[1], { status: 'rejected', reason: broken })
        t.match(settled[3], { status: 'fulfilled', value: c })
        t.strictSame(await storedUris(db), [...before, a, c].toSorted())
        await t.rejects(transact(failing), broken, 'alone too')
        t.notOk((await storedUris(db)).includes(b))
      })
    }
  },
)

t.test('nobody is answered before the commit that transactions share', async t => {
  const { db } = await openSeeded(t, {})
  const answered: string[] = []
  const note = (name: string) => () => void answered.push(name)
  let seen: readonly string[] = []
  await Promise.all([
    inTurns(db)(sql => addResource(sql, 'https://a.example')).then(note('a')),
    t.rejects(
      db
        .transact(async () => {
          throw broken
        })
        .finally(note('b')),
      broken,
    ),
    db.transact(async transaction => {
      await take(transaction, addResource(transaction, 'https://c.example'))
      seen = [...answered]
    }),
  ])
  t.strictSame(seen, [])
  t.strictSame(answered.toSorted(), ['a', 'b'])
})

t.test('work in steps that arrives together is done in one commit, in one turn', async t => {
  const { db } = await openSeeded(t, {})
  const seen: string[] = []
  const work = (name: string): WorkInSteps<string> =>
    function* (sql) {
      seen.push(`${name} begins`)
      yield* addResource(sql, `https://${name}.example`)
      seen.push(`${name} ends`)
      return name
    }
  await Promise.all(
    ['a', 'b'].map(async name => {
      await db.transactAtOnce(work(name))
      seen.push(`${name} is answered`)
    }),
  )
  t.strictSame(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'a is answered', 'b is answered'])
})

t.test('where the shared commit cannot be, nothing was done, and all are told', async t => {
  const { db } = await openSeeded(t, {})
  const before = await storedUris(db)
  const settled = await Promise.allSettled([
    inTurns(db)(sql => addResource(sql, 'https://a.example')),
    // As a full disk does, it ends the transaction of all of them.
    db.transact(async transaction => {
      await fragment`rollback`.execute(transaction)
      throw broken
    }),
    inTurns(db)(sql => addResource(sql, 'https://c.example')),
  ])
  t.strictSame(
    settled.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
  t.strictSame(await storedUris(db), before)
  await inTurns(db)(sql => addResource(sql, 'https://d.example'))
  t.ok((await storedUris(db)).includes('https://d.example'), 'the next one finds nothing of it')
})

/** As requests read. */
async function readUris({ sql: reader, read }: Database): Promise<readonly string[]> {
  const rows = await read(reader.selectFrom('resources').select('uri').orderBy('uri').compile())
  return rows.map(({ uri }) => uri)
}

await forEachEngine(
  t,
  'a transaction begins, and ends, as it does without the reads beside it',
  async (t, env) => {
    const { db } = await openSeeded(t, env)
    const before = await storedUris(db)
    let isDone = false
    const reading = async (turns: number) => {
      for (let i = 0; i < turns; i++) await Promise.resolve()
      for (let i = 0; i < 2000 && !isDone; i++) await Promise.all([readUris(db), readUris(db), readUris(db)])
    }
    const writing = async () => {
      await db.sql
        .transaction()
        .execute(transaction => take(transaction, addResource(transaction, 'https://a.example')))
      const failing = db.sql.transaction().execute(async transaction => {
        await take(transaction, addResource(transaction, 'https://b.example'))
        throw broken
      })
      await t.rejects(failing, broken)
    }
    // At each turn somebody is reading.
    const readers = Array.from({ length: 16 }, (_, turns) => reading(turns))
    await Promise.all([...readers, writing().finally(() => (isDone = true))])
    t.strictSame(await storedUris(db), ['https://a.example', ...before].toSorted())
  },
)

t.test('of two servers with one file, each reads what the other has committed before', async t => {
  const file = join(scratchFolder(t), 'mintmark.sqlite')
  await makeMigrated({ engine: 'sqlite', file })
  const [one, other] = [openDatabase({ engine: 'sqlite', file }), openDatabase({ engine: 'sqlite', file })]
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const readAll = () => Promise.all([readUris(one), readUris(one), readUris(one)])
  t.strictSame(await readAll(), Array(3).fill([]))
  await inTurns(other)(sql => addResource(sql, 'https://a.example'))
  t.strictSame(await readAll(), Array(3).fill(['https://a.example']))
})

t.test(
  'what arrives while another server holds the file is done in the commit that waits for it',
  async t => {
    const file = join(scratchFolder(t), 'mintmark.sqlite')
    await makeMigrated({ engine: 'sqlite', file })
    const [one, other] = [openDatabase({ engine: 'sqlite', file }), openDatabase({ engine: 'sqlite', file })]
    t.teardown(() => Promise.all([one.close(), other.close()]))
    const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const holding = other.transact(async () => {
      held.resolve()
      await free.promise
    })
    await held.promise
    const seen: string[] = []
    const workAndRotate = async (name: string) => {
      const work = one.transactAtOnce(function* (sql) {
        yield* addResource(sql, `https://${name}.example`)
        seen.push(name)
      })
      const rotation = rotateSession(one, rotationOf(Buffer.from(name)))
      await Promise.all([work.then(() => seen.push(`${name} is answered`)), rotation])
    }
    const first = workAndRotate('a')
    // It has found the file taken by then, and tries again and again.
    await sleep(20)
    const others = ['b', 'c'].map(workAndRotate)
    await sleep(20)
    free.resolve()
    await Promise.all([holding, first, ...others])
    t.strictSame(seen.slice(0, 3), ['a', 'b', 'c'])
    t.equal(
      one.load.commits.counts.reduce((sum, count) => sum + count),
      1,
      'and all rotations in one of their own',
    )
  },
)
