import type { KyselyPlugin } from 'kysely'
import t from 'tap'
import { insertAuditEntries, pageOfAuditEntries } from '../../db/installation/audit.ts'
import { formatUuid, newUuid } from '../../src/protocol/secrets.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { asDescribed } from '../helpers/described.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { auditRow } from '../helpers/records.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

async function all(ask: Ask, filter: string): Promise<{ found: Record<string, unknown>[]; pages: number }> {
  const found: Record<string, unknown>[] = []
  let after = ''
  for (let pages = 1; ; pages++) {
    const page = await ask('GET', `/audit?${filter}${after}`)
    if (page.statusCode !== 200) throw new Error(page.body)
    const { items, next } = page.json()
    found.push(...items)
    if (next === null) return { found, pages }
    after = `&after=${next}`
  }
}

/** So many entries of a user, one a second, every tenth a theft. */
async function addEntries({ ctx }: TestServer, userId: Buffer, count: number, since: number) {
  const rows = Array.from({ length: count }, (_, i) =>
    auditRow({
      at: since + i,
      event: i % 10 === 0 ? 'session_theft' : 'session_late',
      actor: 'client web',
      userId,
      clientId: 'web',
      address: '192.0.2.1',
      requestId: `r-${i}`,
      detail: { presented: i, current_until: i },
    }),
  )
  await insertAuditEntries(ctx.db, rows)
}

await forEachEngine(
  t,
  'the audit trail is read in pages, the newest first, along its indexes',
  async (t, env) => {
    const server = await startServer(t, env)
    const ada = await server.user('ada')
    const bob = await server.user('bob')
    const since = server.ctx.clock.now() - 10_000
    await addEntries(server, ada.id, 30, since)
    await addEntries(server, bob.id, 5, since)
    const gone = newUuid(since)
    await addEntries(server, gone, 1, since + 100)
    const ask = await asDescribed(t, await adminClient(server))

    const ofAda = await all(ask, `sub=${ada.sub}&limit=7`)
    t.equal(ofAda.pages, 5)
    t.equal(ofAda.found.length, 30)
    t.equal(new Set(ofAda.found.map(({ id }) => id)).size, 30, 'each once')
    const times = ofAda.found.map(({ at }) => String(at))
    t.strictSame(times, times.toSorted().toReversed(), 'the newest first')
    t.match(ofAda.found.at(-1), {
      id: new RegExp(`^${since}-\\d+$`),
      at: new Date(since * 1000).toISOString().replace('.000', ''),
      event: 'session_theft',
      actor: 'client web',
      sub: ada.sub,
      username: 'ada',
      client_id: 'web',
      sid: null,
      address: '192.0.2.1',
      request_id: 'r-0',
      count: 1,
      detail: { presented: 0, current_until: 0 },
    })
    const count = async (filter: string) => (await all(ask, filter)).found.length
    t.equal(await count(`sub=${ada.sub}&event=session_theft`), 3)
    t.equal(await count(`sub=${ada.sub}&event=session_theft,session_late`), 30)
    t.equal(await count(`sub=${formatUuid(gone)}`), 1, 'of a user who is gone')
    const time = (seconds: number) => new Date((since + seconds) * 1000).toISOString()
    t.equal(await count(`since=${time(0)}&until=${time(10)}`), 15)
    t.equal(await count(`sub=${ada.sub}&since=${time(0.5)}&until=${time(9.5)}`), 9, 'and parts of a second')
    t.equal(await count(`since=${time(0)}&client_id=web&request_id=r-3`), 2)
    t.equal(await count(`since=${time(0)}&actor=client+web`), 36)
    t.equal(await count(`since=${time(0)}&sid=${ada.sub}`), 0)
    t.equal(await count(`since=${time(0)}&event=user_created`), 0)
    t.ok((await count('limit=3')) > 36, 'without a filter there are all')

    for (const filter of [
      'event=session_theft',
      'client_id=web',
      'actor=x',
      'request_id=x',
      `sid=${ada.sub}`,
    ]) {
      const refused = await ask('GET', `/audit?${filter}`)
      t.match(refused.json(), {
        status: 400,
        field: filter.split('=')[0],
        detail: /no index serves .* together with sub or since/,
      })
      t.equal(
        (await ask('GET', `/audit?until=${time(0)}&${filter}`)).statusCode,
        400,
        'nor with an end alone',
      )
    }
    t.match((await ask('GET', `/audit?sub=${ada.sub}&event=theft`)).json(), { status: 400, field: 'event' })
    t.match((await ask('GET', '/audit?since=2030-01-01T00:00:60Z')).json(), { status: 400, field: 'since' })
    t.match((await ask('GET', '/audit?actor=%00&since=2030-01-01T00:00:00Z')).json(), {
      status: 400,
      field: 'actor',
    })
    const { next } = (await ask('GET', `/audit?sub=${ada.sub}&limit=4`)).json()
    t.match((await ask('GET', `/audit?sub=${bob.sub}&limit=4&after=${next}`)).json(), {
      status: 400,
      field: 'after',
    })
  },
)

await forEachEngine(t, 'a page looks at so many entries, and no more', async (t, env) => {
  const server = await startServer(t, env)
  const ada = await server.user('ada')
  const { db } = server.ctx
  await addEntries(server, ada.id, 1, 1000)
  for (let i = 0; i < 5; i++) await addEntries(server, (await server.user(`u${i}`)).id, 1000, 2000)
  const filter = { since: 0, requestId: 'r-0', userId: ada.id }
  t.match(await pageOfAuditEntries(db, filter, { before: undefined, limit: 5 }), {
    entries: [{ at: 1000 }],
    next: undefined,
  })
  const { userId: _, ...wide } = filter
  const first = await pageOfAuditEntries(
    db,
    { ...wide, until: 3000, clientId: 'none' },
    { before: undefined, limit: 5 },
  )
  t.strictSame(first.entries, [])
  t.ok(first.next && first.next.at < 3000 && first.next.at > 2000, 'the next page is further on')
  const found = []
  let pages = 0
  for (let before = undefined as typeof first.next; ; pages++) {
    const page = await pageOfAuditEntries(db, wide, { before, limit: 5 })
    found.push(...page.entries)
    if (!page.next) break
    before = page.next
  }
  t.equal(found.length, 6)
  t.ok(pages >= 2, `${pages} pages went before the last one`)
})

t.test('of two bounds at the same end of time a page has one, since its index serves no more', async t => {
  const server = await startServer(t)
  const { db } = server.ctx
  const user = await server.user('ada')
  for (let i = 0; i < 3; i++) await addEntries(server, user.id, 1000, 2000)
  const executor = db.sql.getExecutor()
  const queries: string[] = []
  const plugin: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      queries.push(executor.compileQuery(node, queryId).sql)
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const sql = db.sql.withPlugin(plugin)
  const [since, until, requestId] = [1, 9000, 'x']
  for (const filter of [
    { since, until },
    { userId: user.id, since, until },
  ]) {
    for (const before of [undefined, { at: 2990, id: 2990 }])
      await pageOfAuditEntries({ ...db, sql }, { ...filter, requestId }, { before, limit: 5 })
  }
  t.equal(queries.length, 8)
  for (const query of queries) {
    const of = (sign: string) =>
      query.match(new RegExp(`"at"(?:, "(?:audit"\\.")?id"\\))? ${sign}=? `, 'g')) ?? []
    t.strictSame([of('<').length, of('>').length], [1, 1], query)
  }
})

t.test('who sees users or sessions alone learns nothing of the audit trail (invariant 23)', async t => {
  const server = await startServer(t)
  const ada = await server.user('ada', 'mintmark:support')
  for (const ask of [
    await adminPerson(server, ada),
    await adminClient(server, 'admin:users admin:sessions admin:clients admin:keys'),
  ]) {
    for (const path of ['/audit', '/audit?event=x', `/audit?sub=${ada.sub}`]) {
      const refused = await ask('GET', path)
      t.equal(refused.statusCode, 403, path)
      t.match(refused.headers['www-authenticate'], /scope="admin:read admin:write"/)
    }
  }
  const boss = await adminPerson(server, await server.user('eve', 'mintmark:admin'))
  t.equal((await boss('GET', '/audit')).statusCode, 200)
  t.equal((await (await adminClient(server, 'admin:read'))('GET', '/audit')).statusCode, 200)
})
