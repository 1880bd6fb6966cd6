import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import SqliteFile from 'better-sqlite3'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { raceForTokens, redeemThroughKills } from '../helpers/code-races.ts'
import { surviveCrashes } from '../helpers/crashes.ts'
import { onSqlite } from '../helpers/engines.ts'
import { exchangeThroughKills } from '../helpers/exchange-kills.ts'
import { refresh, startFleet, type Instance } from '../helpers/fleet.ts'
import { isOAuthError, startServer } from '../helpers/server.ts'
import { raceForSuccessors, raceRevocations } from '../helpers/races.ts'

const fleet = await startFleet(t, {})
let instances: Instance[] = []

t.test('invariants 1, 4 and 5: what was answered is there after servers were killed', async t => {
  instances = await surviveCrashes(t, fleet, { kills: 3, lanes: 2, clients: 6 })
})

t.test('invariant 2: two hundred requests with one token, at two processes, get one successor', async t => {
  await raceForSuccessors(t, { fleet, instances }, { parallel: 200, rounds: 2 })
})

t.test('invariant 4: once a revocation is answered, no process moves the session on', async t => {
  await raceRevocations(t, { fleet, instances }, 4)
})

t.test(
  'invariant 12: a code yields one session, also where the process that redeems it is killed',
  async t => {
    instances = await redeemThroughKills(t, { fleet, instances }, 4)
    await raceForTokens(t, { fleet, instances }, { parallel: 50, rounds: 2 })
  },
)

t.test(
  'invariant 5: a token that was exchanged is good, and in the trail, also where its server is killed',
  async t => {
    instances = await exchangeThroughKills(t, { fleet, instances }, 3)
  },
)

/** Whether it was told to come back, as a fault of ours demands. */
async function isToldToComeBack(t: Test, { url }: Instance, path: string, form: Record<string, string>) {
  const response = await fetch(url + path, { method: 'POST', body: new URLSearchParams(form) })
  t.equal(response.status, 503)
  t.match(response.headers.get('retry-after'), /^\d+$/)
  t.match(await response.json(), { error: 'temporarily_unavailable' })
}

t.test('invariant 9: a database that another process locks is no fault of a client', async t => {
  const [client = { refreshToken: '' }] = await fleet.logIn(1)
  const [instance] = instances
  if (!instance) throw new Error('unreachable: two have survived')
  const goesOn = async () => {
    // As a client would that was told to come back.
    let answer = await refresh(instance.url, client.refreshToken)
    for (let i = 0; answer.kind === 'later' && i < 100; i++) {
      await sleep(50)
      answer = await refresh(instance.url, client.refreshToken)
    }
    t.equal(answer.kind, 'token', 'it recovers by itself')
    if (answer.kind === 'token') client.refreshToken = answer.token
  }
  const refused = () =>
    Promise.all([
      isToldToComeBack(t, instance, '/token', {
        grant_type: 'refresh_token',
        client_id: 'app',
        refresh_token: client.refreshToken,
      }),
      isToldToComeBack(t, instance, '/revoke', { client_id: 'app', token: client.refreshToken }),
    ])

  const other = new SqliteFile(join(fleet.home, 'db/mintmark.sqlite'))
  t.teardown(() => other.close())
  other.exec('begin immediate')
  await refused()
  other.exec('rollback')
  await goesOn()
})

t.test('a database that may not grow refuses log-ins with 503, and goes on with refreshes', async t => {
  const server = await startServer(t, onSqlite)
  const [client, user] = [await server.client('app'), await server.user()]
  const pragma = async (pages: number) => {
    await sql`pragma max_page_count = ${sql.lit(pages)}`.execute(server.ctx.db.sql)
  }
  let { refresh_token } = await server.logIn(client, user)
  // The first two make its row a few bytes longer, for which its page may have no room.
  for (let i = 0; i < 2; i++) refresh_token = (await server.refresh(client, refresh_token)).refresh_token
  await pragma(1) // SQLite takes the present size, if that is more
  const logIn = () =>
    server.post('/token', {
      grant_type: 'password',
      ...client.form,
      username: user.username,
      password: user.password,
    })
  let response = await logIn()
  for (let i = 0; response.statusCode === 200 && i < 100; i++) response = await logIn()
  isOAuthError(t, response, 503, 'temporarily_unavailable', 'a log-in')
  refresh_token = (await server.refresh(client, refresh_token)).refresh_token
  await pragma(1_000_000)
  t.equal((await logIn()).statusCode, 200, 'it recovers by itself')
  await server.refresh(client, refresh_token)
})
