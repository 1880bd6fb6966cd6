import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { decodeProtectedHeader } from 'jose'
import t from 'tap'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import type { SigningKeyTable } from '../../db/schema.ts'
import { describeKeys } from '../../src/admin/keys.ts'
import { systemClock } from '../../src/clock.ts'
import { drawTimeline, nextSteps } from '../../src/commands/key/key-timeline.ts'
import { loadConfig } from '../../src/config/load.ts'
import { endAllWithKeys } from '../../src/endings/restart.ts'
import { revokeKey } from '../../src/keys/ring/emergency.ts'
import { phaseOf, planRing } from '../../src/keys/ring/key-life.ts'
import { openLog } from '../../src/record/log.ts'
import { startServer as serve } from '../../src/server.ts'
import { byCommand } from '../helpers/by-command.ts'
import { commandLine, issuer } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { publishedOnly } from '../helpers/key-rows.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const published = async (server: TestServer): Promise<string[]> => {
  const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json()
  return keys.map(({ kid }: { kid: string }) => kid)
}

const kidOf = (token: string) => decodeProtectedHeader(token).kid ?? ''

const emergency = ({ ctx }: TestServer) => ({ by: byCommand(ctx), rootKeys: ctx.rootKeys, reason: 'leaked' })

await forEachEngine(t, 'a key that leaked is revoked: its tokens end, the sessions live', async (t, env) => {
  const server = await startServer(t, env)
  const other = await startServer(t, besideEnv(server))
  const { db } = server.ctx
  const web = await server.client('web')
  const session = await server.logIn(web, await server.user())
  const leaked = kidOf(session.access_token)
  const next = (await listSigningKeys(db)).find(row => row.alg === 'ES256' && phaseOf(row) === 'next')?.kid
  t.match(await server.introspect(web, session.access_token), { active: true })

  const revoked = await revokeKey(emergency(server), leaked)
  t.match(revoked, { kid: leaked, alg: 'ES256', phase: 'active', successor: { kid: next } })
  t.ok(
    (revoked?.tokens ?? 0) >= 1 && (revoked?.tokens ?? 0) <= 16,
    'an upper bound of its living tokens is told',
  )
  t.equal(await revokeKey(emergency(server), leaked), undefined, 'once')
  t.equal(await revokeKey(emergency(server), 'unknown'), undefined)

  for (const each of [server, other]) {
    await each.follow()
    t.notOk((await published(each)).includes(leaked), 'it has left the key set')
    t.equal((await published(each)).length, 4, 'another one follows')
    t.strictSame(
      await each.introspect(web, session.access_token),
      { active: false },
      'its tokens are refused',
    )
  }
  const refreshed = await server.refresh(web, session.refresh_token)
  t.equal(kidOf(refreshed.access_token), next, 'a refresh gets a token by the next key')
  t.match(await other.introspect(web, refreshed.access_token), { active: true })

  // Signed answers have a ring of their own, whose key may leak just as well.
  const type = 'application/token-introspection+jwt'
  const form = { token: refreshed.access_token, ...web.form }
  const answer = async (each: TestServer) => (await each.post('/introspect', form, { accept: type })).body
  const signer = kidOf(await answer(other))
  t.match(await revokeKey(emergency(server), signer), { alg: 'RS256', phase: 'active' })
  for (const each of [server, other]) {
    await each.follow()
    const kid = kidOf(await answer(each))
    t.not(kid, signer, 'a revoked key signs no answers')
    t.ok((await published(each)).includes(kid), 'but one that is published')
  }

  // A next key, a retiring one, and an active one without a sound follower.
  const follower =
    (await listSigningKeys(db)).find(row => row.alg === 'ES256' && phaseOf(row) === 'next')?.kid ?? ''
  t.match(await revokeKey(emergency(server), follower), { phase: 'next', successor: undefined })
  const rows = await listSigningKeys(db)
  const fresh = rows.find(row => row.alg === 'ES256' && phaseOf(row) === 'next')?.kid ?? ''
  t.not(fresh, follower, 'a next key is replaced')
  await db.sql
    .updateTable('signing_keys')
    .set({ sealed_private_key: Buffer.alloc(99) })
    .where('kid', '=', fresh)
    .execute()
  t.match(await revokeKey(emergency(server), next ?? ''), { phase: 'active', successor: { alg: 'ES256' } })
  await server.follow()
  const last = await server.refresh(web, refreshed.refresh_token)
  t.notOk([fresh, follower, next, leaked].includes(kidOf(last.access_token)), 'what could not sign does not')
  t.ok((await published(server)).includes(kidOf(last.access_token)))
  server.tick(100_000)
  await server.follow()
  server.tick(1000)
  for (let i = 0; i < 2; i++) await server.follow()
  t.notOk(
    (await listSigningKeys(db)).some(row => row.revoked_at !== null),
    'a revoked key is forgotten after its last token',
  )
})

await forEachEngine(t, 'after the loss of everything, all begins anew', async (t, env) => {
  const server = await startServer(t, env)
  const { ctx } = server
  const web = await server.client('web')
  const job = await server.client('job')
  const session = await server.logIn(web, await server.user())
  await server.post('/token', { grant_type: 'client_credentials', ...job.form })
  const before = await published(server)
  const rootBefore = ctx.rootKeys.currentId

  const file = ctx.config
  const algs = ['ES256', 'RS256']
  const done = await endAllWithKeys({ ...emergency(server), file, keepsRootKey: false, algs })
  t.match(done, { from: rootBefore, revoked: { length: 4 }, keys: { length: 4 }, clients: { length: 2 } })
  t.not(done.to, rootBefore)
  t.ok(done.tokens >= 2)
  await server.follow()
  t.notOk((await published(server)).some(kid => before.includes(kid)))
  t.equal(ctx.rootKeys.currentId, done.to)
  const refused = await server.post('/token', {
    grant_type: 'refresh_token',
    refresh_token: session.refresh_token,
    ...web.form,
  })
  t.match([refused.statusCode, refused.json().error], [400, 'invalid_grant'], 'every session has ended')
  t.strictSame(await server.introspect(web, session.access_token), { active: false })
  t.match(await server.introspect(web, (await server.logIn(web, await server.user('bob'))).access_token), {
    active: true,
  })

  const again = await endAllWithKeys({
    ...emergency(server),
    file,
    keepsRootKey: true,
    algs: [...algs, 'PS256'],
  })
  t.strictSame([again.from, again.to, again.keys.length], [done.to, done.to, 6], 'the root key may be kept')
  await server.follow()
  t.strictSame([...ctx.keys.algs()].sort(), ['ES256', 'PS256', 'RS256'])
})

t.test('`key revoke` and its reports', async t => {
  const { call, serve } = commandLine(t)
  const server = await serve()
  await call('user create alice --password-stdin', { input: 'correct horse' })
  await call('client create --id web --public --grant password refresh_token')
  const form = { grant_type: 'password', client_id: 'web', username: 'alice', password: 'correct horse' }
  let token = ''
  for (let i = 0; i < 200 && token === ''; i++)
    token = (await server.post('/token', form)).body.access_token ?? ''
  const leaked = kidOf(token)
  for (const args of [
    'key revoke',
    `key revoke ${leaked} --all`,
    `key revoke ${leaked} --keep-root-key`,
    `key revoke ${leaked}`,
  ]) {
    t.match(await call(args), { code: 2, stdout: '' }, args)
  }
  t.match(await call('key revoke nothing --yes'), { code: 1, stderr: /there is no such key/ })
  t.match(await call(['key', 'revoke', '', '--yes']), { code: 1, stderr: /4 keys begin like that/ })

  const revoked = await call(['key', 'revoke', leaked.slice(0, 8), '--yes', '--reason', 'in a public log'])
  t.match(revoked.stdout, new RegExp(`^Revoked the ES256 key ${leaked}, which was active\\.`))
  t.match(revoked.stdout, /its living tokens +at most 16, all refused from now on/)
  t.match(
    revoked.stdout,
    /forgotten by verifiers +\d{4}-.* if they keep a key set no longer than they may \(5m\)/,
  )
  t.match(revoked.stdout, /may take longer to forget it: see docs\/verifying\.md/)
  t.match(revoked.stdout, /published only a while ago: until \d{4}-.* a verifier may refuse its tokens/)
  t.match(JSON.parse(revoked.stderr), { event: 'key_revoked', kid: leaked, reason: 'in a public log' })
  t.match(await call(`key revoke ${leaked} --yes`), { code: 1, stderr: /was revoked before/ })
  t.match((await call('key list')).stdout, /×.*REVOKED FOR.*in a public log/s)
  t.match(
    (await call('key list --json')).json().find(({ kid }: { kid: string }) => kid === leaked),
    {
      state: 'revoked',
      revoke_reason: 'in a public log',
    },
  )
  t.equal((await call('key rotate --alg RS256')).code, 0)
  const now = Math.floor(Date.now() / 1000)
  const all = (await call('key revoke --all --yes --reason x --json')).json()
  t.match(all, {
    sessions_revoked: 1,
    revoked: { length: 4 },
    keys: { length: 4 },
    passwords_under_older_root_keys: 1,
  })
  t.match(
    (await call('audit list --json')).json().filter(({ event }: { event: string }) => /key/.test(event)),
    [
      {
        event: 'key_revoked',
        detail: { kid: leaked, alg: 'ES256', state: 'active', reason: 'in a public log' },
      },
      { event: 'key_rotation_requested', detail: { alg: 'RS256' } },
      {
        event: 'all_keys_revoked',
        detail: { kids: all.revoked, reason: 'x', root_key_from: all.root_key.from },
      },
    ],
    'the audit trail has all of it',
  )
  t.ok(all.verifiers_may_fail_until >= now + 310 && all.verifiers_may_fail_until < now + 600)
  t.equal(server.process.exitCode, null)
})

t.test('a lost or wrong root key is recognised at start, with the way out', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call('user create alice --password-stdin', { input: 'correct horse' })
  const file = join(home, 'keys/root.key')
  const text = readFileSync(file)
  const way =
    /put (it|that one) back from your backup\. If it is lost for good, see `mintmark key revoke --help`, with --all/
  rmSync(file)
  t.match(await call('serve'), {
    code: 1,
    stderr: /there is no root key at .*root\.key, and the database is of no use without/,
  })
  t.match((await call('serve')).stderr, way)
  writeFileSync(file, `${Buffer.alloc(32, 7).toString('base64url')}\n`, { mode: 0o600 })
  t.match((await call('serve')).stderr, /is not the one that this database was made with/)
  t.match((await call('key list')).stderr, way)
  t.match(
    await call('key revoke --all --keep-root-key --yes'),
    { code: 1, stderr: way },
    'what is lost cannot be kept',
  )
  rmSync(file)
  const anew = await call('key revoke --all --yes')
  t.match(anew, {
    code: 0,
    stdout: /The passwords of 1 user cannot be checked: .* `mintmark user passwd NAME` sets a new password/,
  })
  t.match(anew.stdout, /may take longer to forget the keys: see docs\/verifying\.md/)
  t.match(await call('doctor'), {
    code: 1,
    stdout: /1 password cannot be checked: .*root\.key lacks the root key/,
  })
  await call('user passwd alice --password-stdin', { input: 'another horse' })
  t.match(await call('doctor'), { code: 0, stdout: /All is well/ })
  t.notOk(readFileSync(file).equals(text))
})

t.test('the policy of the rings is shown, planned, refused and changed', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  t.match(
    (await call('key policy')).stdout,
    /rotation interval +30d\n.*JWKS max-age +5m\n.*clock skew +1m\n.*published +610s before it signs/,
  )
  t.match((await call('key policy --json')).json(), {
    key_rotation_seconds: 2_592_000,
    lead_seconds: 610,
    rotations: [],
  })
  for (const [args, message] of [
    [
      '--rotation-interval 600',
      /this policy cannot work: a key signs for 10m, but .* 2 × 300 s \(max-age\) \+ 10 s = 610 s .*: rotate every 610s or more, or lower the max-age to 295 s/,
    ],
    ['--jwks-max-age 7d --rotation-interval 13d', /2 × 604800 s \(max-age\) \+ 10 s = 1209610 s/],
    ['--jwks-max-age 60 --rotation-interval 300', /2 × 300 s \(max-age\)/],
  ] as const)
    t.match(await call(`key policy ${args} --yes`), { code: 1, stdout: '', stderr: message }, args)
  for (const args of ['--rotation-interval 59', '--jwks-max-age 0', '--clock-skew 11m', '--clock-skew x'])
    t.match(await call(`key policy ${args} --yes`), { code: 2 }, args)
  t.match(await call('key policy --clock-skew 2m'), { code: 2, stderr: /add --yes/ })
  t.match(await call('key policy --jwks-max-age 60 --dry-run'), {
    code: 0,
    stdout:
      /JWKS max-age +5m -> 1m\n.*\n.*published before it signs +610s\n.*max-age of 5m may be kept.*\n.*Note: .*\nNothing was changed/,
  })
  t.notMatch((await call('key policy --jwks-max-age 450 --dry-run')).stdout, /Note/)
  t.match(
    (await call('key policy --jwks-max-age 29 --dry-run')).stdout,
    /Note: .* 2 × 29 s \(max-age\) \+ 10 s = 68 s before it signs, .* once in 60 s .*; `mintmark key policy --jwks-max-age 150` or more/,
  )
  t.match((await call('key policy')).stdout, /JWKS max-age +5m/)
  const changed = await call('key policy --jwks-max-age 60 --clock-skew 2m --rotation-interval 7d --yes')
  t.match(changed.stdout, /^Changed the policy\..*\n.*7d\n.*1m\n.*2m/)
  t.match(changed.stderr, /"event":"key_policy_changed"/)
  t.match(
    (await call('key policy')).stdout,
    /610s before it signs, since key sets with a max-age of 5m are reckoned with until/,
  )
  const env = { MINTMARK_JWKS_MAX_AGE: '100', MINTMARK_KEY_ROTATION_INTERVAL: '200' }
  t.match(await call('key policy', { env }), {
    code: 1,
    stderr: /MINTMARK_KEY_ROTATION_INTERVAL and MINTMARK_JWKS_MAX_AGE do not fit: .*2 × 100 s/,
  })
  t.ok(home)
})

t.test('a change of algorithm is told with its time, by every command that makes one', async t => {
  const { home, call, serve } = commandLine(t)
  await call('db migrate')
  const first = await call('resource create https://first.example --scope read --alg Ed25519')
  t.notMatch(first.stdout, /until/, 'before there is any key, all that are wanted sign at once')
  await serve()
  const when =
    /Its tokens are signed with ES256 until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, when every verifier can know the PS256 key/
  t.match((await call('resource create https://a.example --scope read --alg PS256')).stdout, when)
  t.match((await call('resource create https://b.example --scope read')).stdout, /alg +ES256/)
  const updated = await call('resource update https://b.example --alg EdDSA --json')
  t.match(updated.json(), { signs_with: 'ES256', alg_signs_from: Number })
  t.match((await call('resource list')).stdout, /b\.example +EdDSA \(still ES256\)/)
  writeFileSync(join(home, 'x.yaml'), 'resources:\n  - { uri: https://c.example, scope: read, alg: PS256 }\n')
  t.match((await call(`apply ${join(home, 'x.yaml')} --yes`)).stdout, when)
  t.match((await call('resource update https://b.example --alg RS256 --json')).json(), {
    signs_with: undefined,
  })
})

t.test('`key list` draws the rings, and says what comes next', async t => {
  const at = 1_900_000_000
  const day = 86_400
  const row = (kid: string, state: Partial<SigningKeyTable>): SigningKeyTable => ({
    kid,
    alg: 'ES256',
    sealed_private_key: Buffer.alloc(0),
    root_key_id: '',
    published_at: at - 60 * day,
    ...publishedOnly,
    revoke_reason: null,
    ...state,
  })
  const rows = [
    row('gone-soon', {
      activated_at: at - 60 * day,
      retired_at: at - 60,
      verify_until: at + 600,
      verify_seconds: 660,
      witnessed_seconds: 60,
    }),
    row('signs-now-and-more', { published_at: at - 59 * day, activated_at: at - 60 }),
    row('waits-for', { published_at: at - 60 }),
    row(`\u001b[31m"`, {
      alg: 'RS256',
      revoked_at: at - 5 * day,
      retired_at: at - 5 * day,
      activated_at: at - 40 * day,
      verify_until: at + day,
    }),
  ]
  const plan = planRing(rows, { rotationSeconds: 30 * day, leadSeconds: 610, algs: ['ES256'] }, at)
  const keys = describeKeys({ rows, plan }, new Map())
  const stream = new Writable() as unknown as NodeJS.WriteStream
  const lines = drawTimeline({ keys, now: at, width: 100, stream }).split('\n')
  t.strictSame(lines, [
    '  ES256',
    '    gone-soo  retiring  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╍│',
    '    signs-no  active    ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄━│━━━━━━━━━━━━━━━━━━',
    '    waits-fo  next                                           ┄│┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄━━━━━━━━━━━━━━━━━━━━',
    '  RS256',
    '    \\u001b[3  revoked   ┄┄┄┄┄┄┄┄┄┄┄┄━━━━━━━━━━━━━━━━━━━━━━××××│',
    '                                                              │ now',
    '                        2030-01-16 17:46                                            2030-05-16 17:45',
    '                        ┄┄ published   ━━ signs   ╍╍ verifies   ×× revoked',
  ])
  t.strictSame(nextSteps(keys), [
    { at: at + 600, alg: 'ES256', text: 'gone-soo is gone' },
    { at: at + day, alg: 'RS256', text: '\\u001b[3 is gone' },
    {
      at: at - 60 + 30 * day,
      alg: 'ES256',
      text: 'signs-no retires, waits-fo signs, and another key is published',
    },
    { at: at - 60 + 30 * day, alg: 'ES256', text: 'signs-no is gone' },
  ])
  const narrow = drawTimeline({ keys, now: at, width: 20, stream }).split('\n')
  t.ok(
    narrow.every(line => line.length < 90),
    'a narrow terminal gets a small drawing',
  )
})

t.test('a clock that is an hour behind is told by doctor', async t => {
  const server = await startServer(t, {}, Math.floor(Date.now() / 1000) + 3600)
  const { config } = server.ctx
  const { call } = commandLine(t)
  const env = { ...besideEnv(server), MINTMARK_ISSUER: config.issuer }
  t.match(await call('doctor', { env }), {
    code: 1,
    stdout: /keys +it is .* by this clock, but the key ring has seen/,
  })
})

t.test('a policy that is set where the database has another is said at start and by doctor', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  const cases: [title: string, set: Record<string, string>, text?: string, command?: string][] = [
    ['nothing is set', {}],
    [
      'what the database has',
      { MINTMARK_JWKS_MAX_AGE: '300', MINTMARK_KEY_ROTATION_INTERVAL: '30d', MINTMARK_CLOCK_SKEW: '1m' },
    ],
    [
      'another max-age, and the same skew',
      { MINTMARK_JWKS_MAX_AGE: '10m', MINTMARK_CLOCK_SKEW: '60' },
      'MINTMARK_JWKS_MAX_AGE is 10m, but the database has 5m, and only that counts',
      'mintmark key policy --jwks-max-age 10m',
    ],
    [
      'all others',
      { MINTMARK_JWKS_MAX_AGE: '10m', MINTMARK_KEY_ROTATION_INTERVAL: '7d', MINTMARK_CLOCK_SKEW: '0' },
      'MINTMARK_KEY_ROTATION_INTERVAL is 7d, but the database has 30d; MINTMARK_JWKS_MAX_AGE is 10m, but the database ' +
        'has 5m; MINTMARK_CLOCK_SKEW is 0s, but the database has 1m, and only that counts',
      'mintmark key policy --rotation-interval 7d --jwks-max-age 10m --clock-skew 0s',
    ],
  ]
  for (const [title, env, text, advised] of cases) {
    const lines: string[] = []
    const log = openLog('info', { write: (line: string) => void lines.push(line) })
    const settings = { MINTMARK_ISSUER: issuer, MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: '0', ...env }
    const server = await serve(loadConfig(settings, home), systemClock(), log)
    await server.close()
    const warnings = lines.map(line => JSON.parse(line)).filter(({ level }) => level === 40)
    const { findings } = (await call('doctor --json', { env })).json()
    const found = findings.filter(({ verdict }: { verdict: string }) => verdict === 'warning')
    if (text === undefined || advised === undefined) {
      t.strictSame([...warnings, ...found], [], title)
      continue
    }
    const advice = `\`${advised}\` changes it for all servers`
    t.strictSame(
      warnings.map(({ msg }) => msg),
      [`${text}: ${advice}`],
      `${title}: at start`,
    )
    t.strictSame(found, [{ check: 'key policy', verdict: 'warning', text, advice }], `${title}: by doctor`)
  }
  const [, env, , advised = ''] = cases.at(-1) ?? ['', {}]
  t.match(await call(`${advised.replace('mintmark ', '')} --yes`), { code: 0 })
  t.match((await call('doctor --json', { env })).json(), { warnings: 0 }, 'the command does what it says')
})
