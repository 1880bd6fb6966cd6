import t from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'
import { sessionUpdates, startPostgres } from '../helpers/postgres.ts'
import { beginSession, rotationOf, seed } from '../helpers/records.ts'

/** Tables that grow. The others have one row, or a handful. */
const growing = ['sessions', 'users', 'clients', 'revocations']

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly Plans?: readonly Plan[]
}

function* nodesOf(plan: Plan): Generator<Plan> {
  yield plan
  for (const part of plan.Plans ?? []) yield* nodesOf(part)
}

t.test(
  'an ordinary refresh is one statement, and no statement of a request scans a table that grows',
  async t => {
    const cluster = await sharedPostgres()
    const name = await cluster.createDatabase()
    const query = (sql: string) => cluster.query(sql, name)
    await query('create extension pg_stat_statements')
    const server = await startServer(t, { MINTMARK_DATABASE_URL: cluster.url(name) })
    await server.resource('https://api.example')
    const web = await server.client('web', { resources: 'https://api.example' })
    const api = await server.client('api', { introspects: 'https://api.example' })
    const ada = await server.user()
    const first = await server.logIn(web, ada)
    await query(`
    insert into users select gen_random_uuid(), 'user' || n, 'x', 'x', '', 0, 0 from generate_series(1, 5000) n;
    insert into clients (id, auth_method, dpop_bound, tls_bound, grant_types, scope, resources, introspects, is_admin,
        refresh_policy, forwards_user_address, cors_origins, epoch, created_at)
      select 'client' || n, 'none', 0, 0, '', '', '', '', 0, 'rotate', 0, '', 0, 0 from generate_series(1, 2000) n;
    create temporary table one as select * from sessions;
    insert into sessions select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(),
      'user_id', gen_random_uuid(), 'status_position', n))).* from one, generate_series(1, 10000) n;
    insert into revocations (session_id, status_position, revoked_at)
      select gen_random_uuid(), n, n from generate_series(1, 5000) n;
    analyze`)

    const statements = async () =>
      query(`select query, calls from pg_stat_statements where dbid = (select oid from pg_database
      where datname = current_database()) and toplevel and query not like '%pg_stat_statements%'`)
    const reset = () => query('select pg_stat_statements_reset()')
    // What is read once, and remembered until clients change.
    await server.follow()
    await server.refresh(web, first.refresh_token)
    await reset()
    let { refresh_token: newest, access_token } = await server.refresh(web, first.refresh_token)
    const rounds = 5
    for (let i = 0; i < rounds; i++)
      ({ refresh_token: newest, access_token } = await server.refresh(web, newest))
    const refreshes = (await statements()).filter(({ query }) => /update sessions/.test(String(query)))
    t.equal(refreshes.length, 1, 'there is one hot statement')
    const others = (await statements()).filter(({ query }) => !/update sessions/.test(String(query)))
    t.equal(Number(refreshes[0]?.['calls']), rounds + 1, 'each refresh runs it once')
    t.equal(others.length, 1, 'and the one retry among them has read its session')

    // Everything that requests do.
    await server.logIn(web, ada)
    await server.introspect(api, access_token)
    await server.introspect(web, newest)
    await server.post('/token', { grant_type: 'client_credentials', ...api.form })
    await server.post('/token', {
      grant_type: 'password',
      username: 'nobody',
      password: 'wrong',
      ...web.form,
    })
    server.tick(60)
    await server.refresh(web, newest)
    await server.refresh(web, newest)
    await server.revoke(web, newest)
    await server.follow()
    await runJob(server, 'asking the database')

    const seen = (await statements()).map(({ query }) => String(query))
    const explained = seen.filter(text => /^(with|select|insert|update|delete)\b/i.test(text))
    t.ok(explained.length >= 12, `${explained.length} statements are looked at`)
    for (const text of explained) {
      const [row] = await query(`explain (generic_plan, format json) ${text}`)
      const plans = row?.['QUERY PLAN'] as readonly { readonly Plan: Plan }[]
      const scans = [...nodesOf(plans[0]?.Plan as Plan)]
        .filter(node => node['Node Type'] === 'Seq Scan' && growing.includes(node['Relation Name'] ?? ''))
        .map(node => node['Relation Name'])
      t.strictSame(scans, [], text.replace(/\s+/g, ' ').slice(0, 100))
    }
  },
)

t.test('a refresh touches no index: more than 95 % of its updates stay in their page', async t => {
  // A row's old version can go only once no transaction of the whole server might see it.
  const cluster = await startPostgres(t)
  const name = await cluster.createDatabase()
  const db = openDatabase({ engine: 'postgres', url: cluster.url(name) })
  t.teardown(() => db.close())
  const userId = await seed(db)
  const ids: Buffer[] = []
  for (let i = 0; i < 500; i++) ids.push(await beginSession(db, userId, i))
  const rounds = 8
  for (let generation = 0; generation < rounds; generation++) {
    // In another order each time, as clients come.
    const shuffled = ids.toSorted(() => Math.random() - 0.5)
    const moved = await Promise.all(shuffled.map(id => rotateSession(db, rotationOf(id, { generation }))))
    if (moved.includes(undefined)) t.fail('a session was not moved on')
  }
  // PostgreSQL counts what a connection did at the latest when it ends.
  await db.close()
  const { updated, hot } = await sessionUpdates(cluster, name, ids.length * rounds)
  t.equal(updated, ids.length * rounds, 'a refresh is one update of one row')
  t.ok(hot / updated > 0.95, `${((100 * hot) / updated).toFixed(1)} % stayed in their page`)
})
