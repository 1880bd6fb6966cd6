import t from 'tap'
import { adminClient } from '../helpers/admin-api.ts'
import { asDescribed } from '../helpers/described.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'

interface Finding {
  readonly check: string
  readonly verdict: string
  readonly text: string
  readonly advice?: string
}

await forEachEngine(t, 'a server says what doctor says, at most ten seconds old', async (t, env) => {
  const server = await startServer(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9', ...env })
  const { db, clock } = server.ctx
  await runJob(server, 'sweeping ended sessions')
  const ask = await asDescribed(t, await adminClient(server, 'admin:read'))
  const first = (await ask('GET', '/health')).json()
  t.equal(first.checked_at, new Date(clock.now() * 1000).toISOString().replace('.000', ''))
  t.strictSame(
    // The PostgreSQL of tests has no disk to save.
    first.findings.filter(({ verdict, text }: Finding) => verdict === 'problem' && !/ = off:/.test(text)),
    [],
  )
  const checks = first.findings.map(({ check }: Finding) => check)
  for (const check of ['issuer', 'database', 'keys', 'root key', 'sweeper', 'mail', 'clock'])
    t.equal(checks.includes(check), check !== 'root key', check)
  for (const long of ['rows', 'addresses', 'user names', 'tokens', 'passkeys', 'password hook'])
    t.notOk(checks.includes(long), `${long} is left to doctor`)

  await db.sql.updateTable('installation').set({ lost_since: 1 }).execute()
  await db.sql.updateTable('sweeper').set({ passed_at: 1 }).execute()
  await server.client('old', { pkce: 'optional' })
  t.strictSame((await ask('GET', '/health')).json(), first, 'it is not looked again so soon')
  server.tick(11)
  const { problems, warnings, findings } = (await ask('GET', '/health')).json()
  t.equal(problems, findings.filter(({ verdict }: Finding) => verdict === 'problem').length)
  t.equal(warnings, findings.filter(({ verdict }: Finding) => verdict === 'warning').length)
  const of = (wanted: string) =>
    findings.filter(({ check, verdict }: Finding) => check === wanted && verdict !== 'ok')
  t.match(of('database'), [{ verdict: 'problem', text: /gone back in time/, advice: /./ }])
  t.match(of('sweeper'), [{ verdict: 'warning', advice: /start a server/ }])
  t.match(of('clients'), [{ verdict: 'warning', text: /old/ }])

  await db.sql.schema.alterTable('sweeper').renameTo('elsewhere').execute()
  server.tick(11)
  const broken = (await ask('GET', '/health')).json()
  t.match(
    broken.findings.find(({ check }: Finding) => check === 'sweeper'),
    { verdict: 'problem', text: /sweeper/ },
    'a check that fails is a finding, and the others are there',
  )
  t.equal((await (await adminClient(server, 'admin:keys'))('GET', '/health')).statusCode, 403)
})
