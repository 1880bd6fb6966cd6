import t from 'tap'
import { planPolicy, changePolicy } from '../../src/admin/policy.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { asDescribed } from '../helpers/described.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startServer } from '../helpers/server.ts'

interface ListedKey {
  readonly kid: string
  readonly alg: string
  readonly state: string
}

await forEachEngine(t, 'keys are listed, rotated and revoked', async (t, env) => {
  const server = await startServer(t, env)
  const bare = await adminClient(server)
  const ask = await asDescribed(t, bare)
  const { items, next } = (await ask('GET', '/keys')).json()
  t.equal(next, null)
  const keys: readonly ListedKey[] = items
  t.match(items[0], { published_at: /Z$/, verify_until: /Z$/, revoked_at: null })
  t.notMatch(JSON.stringify(items), /"d"|private|sealed/)
  const signing = keys.find(({ alg, state }) => alg === 'RS256' && state === 'active')
  const following = keys.find(({ alg, state }) => alg === 'RS256' && state === 'next')

  const rotated = await ask('POST', '/keys/rotate', { alg: 'RS256' })
  t.equal(rotated.statusCode, 202)
  const expected = { alg: 'RS256', from: signing?.kid, to: following?.kid, effective_at: /Z$/ }
  t.match(rotated.json().items, [expected])
  t.ok((await ask('POST', '/keys/rotate')).json().items.length >= 2, 'of every algorithm')
  t.match((await ask('POST', '/keys/rotate', { alg: 'none' })).json(), { status: 400, field: 'alg' })
  t.match((await ask('POST', '/keys/rotate', { alg: 'PS256' })).json(), { status: 409 })

  const revoke = (kid = '', reason = 'in a public log') => ask('POST', `/keys/${kid}/revoke`, { reason })
  t.match((await revoke(signing?.kid.slice(0, 8))).json(), { status: 404 }, 'a beginning is none')
  for (const reason of ['', 'x'.repeat(201), 'two\nlines', '\u001b[2J', ' '])
    t.match((await revoke(signing?.kid, reason)).json(), { status: 400, field: 'reason' })
  t.match((await revoke(signing?.kid)).json(), {
    kid: signing?.kid,
    alg: 'RS256',
    state: 'active',
    reason: 'in a public log',
    successor: following?.kid,
    forgotten_at: /Z$/,
  })
  t.match((await revoke(signing?.kid)).json(), { status: 409, detail: /revoked before/ })
  t.match((await revoke('unknown')).json(), { status: 404 })
  const after: readonly ListedKey[] = (await ask('GET', '/keys')).json().items
  t.match(
    after.find(({ kid }) => kid === signing?.kid),
    { state: 'revoked', revoked_at: /Z$/, revoke_reason: 'in a public log' },
  )
  const { sql } = server.ctx.db
  const acts = await sql.selectFrom('audit').select('event').where('actor', 'like', 'client ops-%').execute()
  const events = acts.map(({ event }) => event).filter(event => event.startsWith('key_'))
  t.ok(events.includes('key_rotation_requested') && events.includes('key_revoked'))
})

await forEachEngine(t, 'the policy of the keys is read and changed, as it was seen alone', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await asDescribed(t, await adminClient(server))
  const before = await ask('GET', '/keys/policy')
  const etag = String(before.headers.etag)
  const { jwks_max_age_seconds: maxAge } = before.json()
  t.match(before.json(), { lead_seconds: 2 * maxAge + 10 })
  const change = (clock_skew_seconds: number) =>
    ask('PATCH', '/keys/policy', { clock_skew_seconds }, { 'if-match': etag })
  const both = await Promise.all([change(61), change(62)])
  t.strictSame(both.map(({ statusCode }) => statusCode).toSorted(), [200, 412])
  t.equal((await change(63)).statusCode, 412)
  const now = await ask('GET', '/keys/policy')
  const changed = both.find(({ statusCode }) => statusCode === 200)
  t.strictSame(now.json(), changed?.json())
  t.equal(now.headers.etag, changed?.headers.etag)
  t.equal((await ask('PATCH', '/keys/policy', {})).headers.etag, now.headers.etag)
  const tried = await ask('PATCH', '/keys/policy?dry_run=true', { key_rotation_seconds: 7 * 86_400 })
  t.match(tried.json(), { ...now.json(), key_rotation_seconds: 7 * 86_400, rotations: Array })
  const sooner = (rotations: readonly { retires_at: string }[], i: number) =>
    Date.parse(rotations[i]?.retires_at ?? '')
  t.equal(sooner(now.json().rotations, 0) - sooner(tried.json().rotations, 0), 23 * 86_400_000)
  t.strictSame((await ask('GET', '/keys/policy')).json(), now.json(), 'a dry run changes nothing')
  for (const query of ['', '?dry_run=true'])
    t.match((await ask('PATCH', `/keys/policy${query}`, { key_rotation_seconds: 60 })).json(), {
      status: 400,
      detail: /this policy cannot work/,
    })
  t.match((await ask('PATCH', '/keys/policy', { clock_skew_seconds: 601 })).json(), {
    status: 400,
    field: 'clock_skew_seconds',
  })

  const by = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
  const admin = servedAdmin(server.ctx, by, server.ctx.log)
  const planned = await planPolicy(admin, { clock_skew_seconds: 70 })
  if (!planned) throw new Error('unreachable: it is another one')
  t.equal((await ask('PATCH', '/keys/policy', { clock_skew_seconds: 80 })).statusCode, 200)
  await t.rejects(changePolicy(admin, planned), { code: 'conflict', text: /has changed the policy/ })
  await t.rejects(changePolicy({ ...admin, precondition: etag }, planned), { code: 'changed' })
})

t.test('keys take the scope of keys', async t => {
  const server = await startServer(t)
  const see = await adminClient(server, 'admin:keys:read')
  const others = await adminClient(server, 'admin:clients admin:users admin:sessions')
  const change = await adminClient(server, 'admin:keys')
  for (const path of ['/keys', '/keys/policy']) {
    t.equal((await see('GET', path)).statusCode, 200)
    t.equal((await others('GET', path)).statusCode, 403)
  }
  for (const [method, path] of [
    ['POST', '/keys/rotate'],
    ['POST', '/keys/x/revoke'],
    ['PATCH', '/keys/policy'],
  ] as const) {
    t.match((await see(method, path)).json(), { status: 403, code: 'insufficient_scope' }, path)
    t.not((await change(method, path)).statusCode, 403, path)
  }
})
