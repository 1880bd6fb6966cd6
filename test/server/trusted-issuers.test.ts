import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { deleteClient } from '../../db/clients/clients.ts'
import {
  changeTrustedIssuer,
  deleteTrustedIssuer,
  insertTrustedIssuer,
  listTrustedIssuers,
} from '../../db/clients/trusted-issuers.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { outsideIssuer } from '../helpers/outside-issuer.ts'
import { testKey } from '../helpers/proofs.ts'
import { startServer } from '../helpers/server.ts'

const url = 'https://ci.example'
const path = `/issuers/${encodeURIComponent(url)}`
const sub = 'repo:acme/shop:ref:refs/heads/main'

await forEachEngine(t, 'verbs that have lost a race change nothing', async (t, env) => {
  const server = await startServer(t, env)
  const { db } = server.ctx
  await server.client('web')
  const ofClient = (client: string) =>
    JSON.stringify([{ subject: 'a', subject_pattern: null, claims: {}, client, user: null }])
  const keys = { audience: null, jwks: null, jwks_uri: null, life_max_seconds: null, is_reusable: 0 }
  const row = { issuer: url, ...keys, subjects: ofClient('web'), created_at: 1 }
  t.equal(await insertTrustedIssuer(db, { ...row, subjects: ofClient('gone') }, 2), false, 'a deleted client')
  t.equal(await insertTrustedIssuer(db, row, 2), true)
  t.equal(await insertTrustedIssuer(db, row, 2), false, 'twice')
  t.equal(await insertTrustedIssuer(db, { ...row, issuer: `${url}/2` }, 1), false, 'one too many')
  const { issuer: _, created_at: __, ...settings } = row
  t.equal(await changeTrustedIssuer(db, row, { ...settings, subjects: ofClient('gone') }), false)
  t.equal(await changeTrustedIssuer(db, row, { ...settings, is_reusable: 1 }), true)
  t.equal(await changeTrustedIssuer(db, row, { ...settings, audience: 'x' }), false, 'not as it was seen')
  t.equal(await deleteTrustedIssuer(db, row), false, 'nor deleted')
  t.match(await listTrustedIssuers(db), [{ is_reusable: 1, audience: null }])
  await deleteClient(db, 'web', 1)
  t.match(await listTrustedIssuers(db), [{ subjects: '[]' }])
  t.equal(await deleteTrustedIssuer(db, { ...row, is_reusable: 1, subjects: '[]' }), true)
})

t.test('trusted issuers by HTTP', async t => {
  const server = await startServer(t)
  await server.client('web')
  await server.client('page', { isPublic: true })
  await server.client('bank', { isPublic: true, auth_method: 'private_key_jwt', profile: 'fapi2' })
  const jwks = { keys: [(await testKey()).publicJwk] }
  const ask = await adminClient(server)

  await t.test('are made, shown, changed and deleted', async t => {
    const created = await ask('POST', '/issuers', {
      issuer: url,
      jwks,
      subjects: [{ client: 'web', subject: sub }],
    })
    t.equal(created.statusCode, 201, created.body)
    t.match(created.json(), {
      issuer: url,
      audience: null,
      jwks,
      jwks_uri: null,
      max_life: null,
      reusable: false,
      subjects: [{ client: 'web', subject: sub, subject_pattern: null, claims: {} }],
      warnings: [],
    })
    const read = await ask('GET', path)
    t.strictSame((await ask('GET', '/issuers')).json().items, [read.json()])
    t.equal((await ask('POST', '/issuers', { issuer: url, jwks })).statusCode, 409, 'twice')
    const etag = { 'if-match': String(read.headers['etag']) }
    const pattern = { client: 'web', subject_pattern: 'repo:acme/*:pull_request' }
    const changed = await ask('PATCH', path, { max_life: 600, audience: 'x', subjects: [pattern] }, etag)
    t.match(changed.json(), { max_life: 600, audience: 'x', warnings: [/could use them here/, /can be web/] })
    t.equal((await ask('PATCH', path, { max_life: 700 }, etag)).statusCode, 412, 'as it was seen')
    t.equal((await ask('DELETE', path, undefined, etag)).statusCode, 412)
    t.equal((await ask('DELETE', path)).statusCode, 204)
    t.equal((await ask('DELETE', path)).statusCode, 404)
    t.equal((await ask('PATCH', path, {})).statusCode, 404)
  })

  await t.test('what cannot be is refused, with the reason', async t => {
    const to = (client: string) => ({ subjects: [{ client, subject: sub }] })
    const cases: [settings: object, status: number, detail: RegExp][] = [
      [{ issuer: 'http://ci.example' }, 400, /an https URL/],
      [{ issuer: 'https://ci.example/?x=1' }, 400, /an https URL/],
      [{ issuer: 'https://a:b@ci.example' }, 400, /an https URL/],
      [{ issuer: 'https://as.example' }, 400, /this server itself/],
      [{ audience: 'a b' }, 400, /visible ASCII/],
      [{ jwks, jwks_uri: 'https://ci.example/jwks' }, 400, /not both/],
      [{ jwks_uri: 'http://ci.example/jwks' }, 400, /https URL without credentials/],
      [{ jwks: { keys: [] } }, 400, /no key that can be used/],
      [{ jwks: {} }, 400, /no JWK Set/],
      [{ jwks: { keys: [(await testKey()).privateJwk] } }, 400, /private or a shared key/],
      [{ max_life: 86_401 }, 400, /max_life/],
      [{ subjects: [{ client: 'web', subject: sub, Claims: {} }] }, 400, /subjects/],
      [{ subjects: [{ client: 'web' }] }, 400, /one of them, and not both/],
      [to('nobody'), 404, /there is no client nobody/],
      [to('page'), 400, /page, which is public/],
      [to('bank'), 400, /bank, which is held to fapi2/],
    ]
    for (const [settings, status, detail] of cases) {
      const answer = await ask('POST', '/issuers', { issuer: url, ...settings })
      t.match(
        [answer.statusCode, answer.json().detail],
        [status, detail],
        JSON.stringify(settings).slice(0, 99),
      )
    }
    t.strictSame((await ask('GET', '/issuers')).json().items, [])
  })

  await t.test('who may not change a client may change no issuer that names it', async t => {
    const limited = await adminClient(server, 'admin:clients')
    await server.client('root', { is_admin: 1 })
    const toWeb = { client: 'web', subject: sub }
    const toRoot = { client: 'root', subject: 'repo:acme/ops:ref:refs/heads/main' }
    t.equal((await limited('POST', '/issuers', { issuer: url, jwks, subjects: [toRoot] })).statusCode, 403)
    t.equal((await limited('POST', '/issuers', { issuer: url, jwks, subjects: [toWeb] })).statusCode, 201)
    t.equal((await limited('PATCH', path, { subjects: [toWeb, toRoot] })).statusCode, 403)
    t.equal((await ask('PATCH', path, { subjects: [toWeb, toRoot] })).statusCode, 200)
    await server.user('ada')
    const asAda = { client: 'web', subject: 'ada', user: 'ada' }
    t.equal(
      (await limited('POST', '/issuers', { issuer: `${url}/2`, jwks, subjects: [asAda] })).statusCode,
      403,
      'users',
    )
    const other = { keys: [(await testKey()).publicJwk] }
    t.equal((await limited('PATCH', path, { jwks: other })).statusCode, 403, 'its keys')
    t.equal((await limited('PATCH', path, { subjects: [toWeb] })).statusCode, 403)
    t.equal((await limited('DELETE', path)).statusCode, 403)
    t.equal((await (await adminClient(server, 'admin:clients:read'))('PATCH', path, {})).statusCode, 403)
    t.equal((await ask('DELETE', path)).statusCode, 204)
  })
})

t.test('trusted issuers by command, and declared in a file', async t => {
  const { home, call } = commandLine(t)
  const env = { MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8' }
  const ci = await outsideIssuer(t)
  const issuer = (args: string, more: readonly string[] = []) =>
    call(['issuer', ...args.split(' '), ...more], { env })
  await call('db migrate')
  t.match(
    await call('client create --id deploy --federated --grant jwt-bearer client_credentials --scope read'),
    {
      code: 0,
      stdout:
        /authenticates with +federated\n +grants +urn:ietf:params:oauth:grant-type:jwt-bearer client_credentials/,
    },
  )
  t.match(await call('client create --id x --federated --public --grant password'), {
    code: 1,
    stderr: /no keys and no names/,
  })
  t.match(await call('client rotate-secret deploy --keep-old 1h'), {
    code: 1,
    stderr: /neither a secret nor keys .*issuer distrust/,
  })
  t.match(await call('client rotate-secret deploy'), { code: 0, stdout: /issuers go on naming it/ })
  t.match(await call('client update deploy --federated'), {
    code: 1,
    stderr: /no trusted issuer says which program is deploy: .*issuer trust URL --client deploy/,
  })

  t.match(
    await issuer(`create ${ci.url} --client deploy --subject ${sub} --claim repository_id=7 environment=a=b`),
    {
      code: 0,
      stdout: new RegExp(`${sub}, repository_id=7, environment=a=b is deploy`),
      stderr: '',
    },
  )
  t.match(await issuer(`trust ${ci.url} --client deploy --subject-pattern repo:acme/*:pull_request`), {
    code: 0,
  })
  t.match(await issuer(`trust ${ci.url} --client deploy --subject-pattern repo:acme/x*`), {
    code: 1,
    stderr: /whole part/,
  })
  t.match(await issuer(`trust ${ci.url} --client deploy`), {
    code: 2,
    stderr: /one of --subject and --subject-pattern/,
  })
  t.match(await call('client update deploy --federated'), { code: 0, stdout: /federated: false -> true/ })
  t.match(await issuer('list'), { stdout: /127\.0\.0\.1:\d+ +as its metadata say +2 +deploy/ })
  t.match((await issuer(`show ${ci.url} --json`)).json(), {
    key_fault: null,
    subjects: [
      { subject: sub, claims: { repository_id: '7', environment: 'a=b' }, client: 'deploy' },
      { subject_pattern: 'repo:acme/*:pull_request' },
    ],
  })
  t.match(await issuer(`distrust ${ci.url} --subject repo:acme/*:pull_request`), {
    code: 0,
    stdout: new RegExp(`^To the issuer ${ci.url}\n  ${sub}, .* is deploy\n$`),
  })
  t.match(await issuer(`distrust ${ci.url} --subject repo:acme/*:pull_request`), {
    code: 1,
    stderr: /is not trusted for/,
  })
  t.match(await issuer(`update ${ci.url} --max-life 3h --reusable`), {
    code: 0,
    stdout: /max_life: default -> 3h\n.*reusable: false -> true/,
  })
  const doctor = async () =>
    (await call('doctor --json', { env }))
      .json()
      .findings.filter(({ check }: { check: string }) => check === 'other issuers')
  t.match(await doctor(), [{ verdict: 'ok', text: /can be had/ }])
  ci.pages.set('/jwks', 'hang up')
  t.match(await doctor(), [{ verdict: 'problem', text: /cannot be had: .*(hang up|ECONNRESET)/ }])
  t.match(await issuer(`update ${ci.url} --jwks-uri ${ci.url}/nowhere`), {
    code: 0,
    stderr: /cannot be had from here now.*404/,
  })
  writeFileSync(join(home, 'keys.json'), JSON.stringify((await testKey()).publicJwk))
  t.match(await issuer(`update ${ci.url} --jwks ${join(home, 'keys.json')}`), { code: 0, stderr: '' })
  t.match(await doctor(), [{ verdict: 'ok' }])
  t.match(await issuer(`delete ${ci.url}`), { code: 0 })
  t.match(await issuer(`show ${ci.url}`), { code: 1, stderr: /there is no trusted issuer/ })

  const apply = (issuers: object) => {
    const clients = [{ client_id: 'docs', federated: true, grant_types: ['jwt-bearer'] }]
    writeFileSync(join(home, 'all.json'), JSON.stringify({ clients, issuers }))
    return call(['apply', join(home, 'all.json'), '--yes'])
  }
  const declared = { issuer: url, subjects: [{ client: 'docs', subject: sub, claims: { a: '1' } }] }
  t.match(await apply([declared]), {
    code: 0,
    stdout: /Made 2 changes/,
    stderr: /issuer https:\/\/ci\.example/,
  })
  t.match(await apply([declared]), { code: 0, stdout: /nothing to change|as declared|Nothing/i }, 'again')
  t.match(await apply([{ ...declared, max_life: 120 }]), {
    code: 0,
    stdout: /Made 1 change/,
    stderr: /max_life/,
  })
  t.match(await apply([{ ...declared, subjects: [{ client: 'nobody', subject: sub }] }]), {
    code: 1,
    stderr: /ci\.example: there is no client nobody, and none is declared/,
  })
  t.match(await apply([declared, declared]), {
    code: 1,
    stderr: /issuer https:\/\/ci\.example is declared more/,
  })
  for (const [settings, stderr] of [
    [{ max_life: 59 }, /max_life/],
    [{ max_life: 86_401 }, /max_life/],
    [{ jwks_uri: 'keys' }, /jwks_uri takes an https URL/],
  ] as const)
    t.match(await apply([{ ...declared, ...settings }]), { code: 1, stderr }, JSON.stringify(settings))
  t.match(await apply([{ issuer: 'ci.example' }]), {
    code: 1,
    stderr: /issuers\[0\]\.issuer takes an https URL/,
  })
  t.match((await issuer(`show ${url} --json`)).json(), { max_life: 120, subjects: [{ client: 'docs' }] })
})
