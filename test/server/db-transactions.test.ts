import { join } from 'node:path'
import { sql, type Transaction } from 'kysely'
import t from 'tap'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { Tables } from '../../db/schema.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { makeMigrated } from '../helpers/migrated.ts'
import { madeAt, openSeeded } from '../helpers/records.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const addResource = async (transaction: Transaction<Tables>, uri: string) => {
  const settings = {
    scope: '',
    scope_words: '{}',
    alg: 'ES256',
    previous_alg: null,
    access_token_seconds: null,
    has_status: 1,
  }
  await transaction
    .insertInto('resources')
    .values({ uri, ...settings, created_at: madeAt })
    .execute()
  return uri
}

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
    const before = await storedUris(db)
    const failing = async (transaction: Transaction<Tables>) => {
      await addResource(transaction, 'https://b.example')
      throw broken
    }
    const settled = await Promise.allSettled([
      db.transact(transaction => addResource(transaction, 'https://a.example')),
      db.transact(failing),
      db.transact(transaction => addResource(transaction, 'https://a.example')),
      db.transact(transaction => addResource(transaction, 'https://c.example')),
    ])
    const added = settled.filter(({ status }) => status === 'fulfilled')
    t.equal(added.length, 2, 'one of two that are the same, and the last one')
    t.match(settled[1], { status: 'rejected', reason: broken })
    t.match(settled[3], { status: 'fulfilled', value: 'https://c.example' })
    t.strictSame(await storedUris(db), [...before, 'https://a.example', 'https://c.example'].toSorted())
    await t.rejects(db.transact(failing), broken, 'alone too')
    t.notOk((await storedUris(db)).includes('https://b.example'))
  },
)

t.test('nobody is answered before the commit that transactions share', async t => {
  const { db } = await openSeeded(t, {})
  const answered: string[] = []
  const note = (name: string) => () => void answered.push(name)
  let seen: readonly string[] = []
  await Promise.all([
    db.transact(transaction => addResource(transaction, 'https://a.example')).then(note('a')),
    t.rejects(
      db
        .transact(async () => {
          throw broken
        })
        .finally(note('b')),
      broken,
    ),
    db.transact(async transaction => {
      await addResource(transaction, 'https://c.example')
      seen = [...answered]
    }),
  ])
  t.strictSame(seen, [])
  t.strictSame(answered.toSorted(), ['a', 'b'])
})

t.test('where the shared commit cannot be, nothing was done, and all are told', async t => {
  const { db } = await openSeeded(t, {})
  const before = await storedUris(db)
  const settled = await Promise.allSettled([
    db.transact(transaction => addResource(transaction, 'https://a.example')),
    // As a full disk does, it ends the transaction of all of them.
    db.transact(async transaction => {
      await sql`rollback`.execute(transaction)
      throw broken
    }),
    db.transact(transaction => addResource(transaction, 'https://c.example')),
  ])
  t.strictSame(
    settled.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
  t.strictSame(await storedUris(db), before)
  await db.transact(transaction => addResource(transaction, 'https://d.example'))
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
      await db.sql.transaction().execute(transaction => addResource(transaction, 'https://a.example'))
      const failing = db.sql.transaction().execute(async transaction => {
        await addResource(transaction, 'https://b.example')
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
  await other.transact(transaction => addResource(transaction, 'https://a.example'))
  t.strictSame(await readAll(), Array(3).fill(['https://a.example']))
})
