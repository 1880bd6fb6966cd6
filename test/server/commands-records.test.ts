import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { openDatabase } from '../../db/open-database.ts'
import { newClientKey } from '../../src/keys/proofs/client-jwks.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import { applier, commandLine, issuer } from '../helpers/cli.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
const api = 'https://api.example'
const password = 'correct horse battery'

t.test('clients', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call(`resource create ${api} --scope read write`)
  const rowOf = async (id: string) => {
    const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
    const row = await findClient(db, id)
    await db.close()
    return row
  }

  t.test('what cannot be is refused with all reasons', async t => {
    const refused: readonly (readonly [string, readonly RegExp[]])[] = [
      ['--id a', [/a client without a grant can do nothing/]],
      ['--id a/b --grant password', [/"a\/b" cannot be a client_id/]],
      [`--id ${'x'.repeat(129)} --grant password`, [/cannot be a client_id/]],
      [
        '--id 0192E3A5-9f3d-7c51-8a4e-0d7d7a3c2b11 --grant password',
        [/the sub of a user has the form of a UUID/],
      ],
      ['--id a --public --grant client_credentials', [/a public client cannot have client_credentials/]],
      ['--id a --public --grant password --admin', [/a public client cannot be an admin/]],
      [`--id a --public --grant password --resource-server ${api}`, [/a public client cannot introspect/]],
      ['--id a --public --grant password refresh_token --refresh reuse', [/a public client cannot reuse/]],
      [
        '--id a --grant password --resource https://no.example',
        [/there is no resource https:\/\/no.example: `mintmark resource create/],
      ],
      ['--id a --resource-server https://no.example', [/there is no resource/]],
      [
        '--id a --grant password refresh_token --refresh-idle-ttl 2d --refresh-absolute-ttl 1d',
        [/the idle limit \(2d\) is longer than the absolute one \(1d\)/],
      ],
      [`--id a --grant ${exchange}`, [/gets them for some API/]],
      [`--id a --public --grant ${exchange} --resource ${api}`, [/a public client cannot have urn/]],
      ['--id a --grant client_credentials --may-impersonate', [/may impersonate users by exchanging/]],
      ['--id a:b --public --admin', [/cannot be a client_id/, /without a grant/, /cannot be an admin/]],
    ]
    for (const [options, reasons] of refused) {
      const { code, stdout, stderr } = await call(`client create ${options}`)
      t.match({ code, stdout }, { code: 1, stdout: '' }, options)
      for (const reason of reasons) t.match(stderr, reason, options)
    }
    t.strictSame((await call('client list --json')).json(), [])
  })

  t.test('what its owner should know is said', async t => {
    const warned: readonly (readonly [string, RegExp])[] = [
      ['--id w1 --grant password', /note: RFC 9700 §2\.4 forbids the password grant/],
      ['--id w2 --grant refresh_token', /no grant that yields a refresh token/],
      ['--id w3 --grant password refresh_token --refresh strict', /503 is not always safe to retry/],
      ['--id w4 --grant password refresh_token --refresh reuse', /a stolen one works unseen/],
      ['--id w5 --grant client_credentials --admin', /revoke everybody's tokens/],
      ['--id w6 --grant client_credentials --refresh strict', /its refresh settings do not count/],
      [
        `--id w7 --grant client_credentials --resource ${api} --scope read delete`,
        /none of its resources knows delete/,
      ],
      [`--id w8 --grant client_credentials --resource ${api}`, /it has no scope/],
      [
        `--id w9 --grant ${exchange} --resource ${api}`,
        /it may exchange only tokens that were issued to itself/,
      ],
      [`--id w10 --grant ${exchange} --resource ${api} --may-impersonate`, /only the audit trail does/],
    ]
    for (const [options, note] of warned) {
      const { code, stderr } = await call(`client create ${options}`)
      t.equal(code, 0, options)
      t.match(stderr, note, options)
    }
    t.equal(
      (await call(`client create --id quiet --grant client_credentials --resource ${api} --scope read`))
        .stderr,
      '',
    )
  })

  t.test('all settings arrive', async t => {
    const args = `client create --id full --grant password --grant refresh_token --scope read --scope write --resource ${api}
      --resource-server ${api} --admin --refresh strict --refresh-idle-ttl 7d --refresh-absolute-ttl 90d --json`
    const created = (await call(args.split(/\s+/))).json()
    const declared = {
      client_id: 'full',
      public: false,
      grant_types: ['password', 'refresh_token'],
      scope: ['read', 'write'],
      resources: [api],
      resource_server: [api],
      admin: true,
      refresh: 'strict',
      refresh_idle_ttl: 604_800,
      refresh_absolute_ttl: 7_776_000,
    }
    t.match(created, { ...declared, client_secret: /^mm_cs_[\w-]{43}$/ })
    const listed = (await call('client list --json'))
      .json()
      .find((client: any) => client.client_id === 'full')
    t.match(listed, declared)
    t.notOk('client_secret' in listed)
    t.match(await rowOf('full'), { secret_hash: hashSecret(created.client_secret), is_admin: 1 })
  })

  t.test('a public client has no secret', async t => {
    const { stdout } = await call('client create --id spa --public --grant password refresh_token --json')
    t.notOk('client_secret' in JSON.parse(stdout))
    t.equal((await rowOf('spa'))?.secret_hash, null)
    t.match(await call('client rotate-secret spa'), { code: 1, stderr: /the client spa is public/ })
  })

  t.test('a secret file is for its owner alone, and never replaces another', async t => {
    const file = join(home, 'job.secret')
    const created = await call(
      `client create --id job --grant client_credentials --secret-file ${file} --json`,
    )
    t.match(created.json(), { client_id: 'job', client_secret_file: file })
    t.equal(statSync(file).mode & 0o777, 0o600)
    const secret = readFileSync(file, 'utf8')
    t.match(secret, /^mm_cs_[\w-]{43}$/, 'with nothing behind it: its bytes are the secret')
    const rotated = join(home, 'job.second')
    t.match(await call(`client rotate-secret job --keep-old 1h --secret-file ${rotated}`), { code: 0 })
    t.same((await rowOf('job'))?.secret_hash, hashSecret(readFileSync(rotated, 'utf8')))
    t.match(await call(`client rotate-secret job --secret-file ${rotated}`), { code: 1 })
    t.notMatch(created.stdout, secret)
    t.same((await rowOf('job'))?.old_secret_hash, hashSecret(secret))

    const again = await call(`client create --id job2 --grant client_credentials --secret-file ${file}`)
    t.match(again, { code: 1, stderr: `${file}: it exists already, and nothing is overwritten` })
    t.equal(await rowOf('job2'), undefined, 'and there is no client whose secret nobody knows')
    t.match(await call(`client rotate-secret job --secret-file ${file}`), { code: 1 })
    t.equal(readFileSync(file, 'utf8'), secret)
    t.same((await rowOf('job'))?.old_secret_hash, hashSecret(secret))

    const other = join(home, 'other.secret')
    t.match(await call(`client rotate-secret nobody --secret-file ${other}`), { code: 1 })
    t.match(await call(`client create --id job --grant client_credentials --secret-file ${other}`), {
      code: 1,
    })
    t.notOk(existsSync(other), 'nor a file with a secret of nothing')
    const racers = ['race1', 'race2'].map(name => join(home, name))
    const outcomes = await Promise.all(
      racers.map(racer => call(`client create --id raced --grant client_credentials --secret-file ${racer}`)),
    )
    t.strictSame(outcomes.map(({ code }) => code).sort(), [0, 1])
    const kept = racers.filter(racer => existsSync(racer))
    t.equal(kept.length, 1, 'nor one of the client that came second')
    t.same((await rowOf('raced'))?.secret_hash, hashSecret(readFileSync(kept[0] ?? '', 'utf8')))
    t.match(
      await call(`client create --id job3 --grant client_credentials --secret-file ${join(home, 'no/x')}`),
      {
        code: 1,
        stderr: /there is no such file or directory/,
      },
    )
  })

  t.test('rotate-secret ends the old secret, or keeps it for a while', async t => {
    const first = (await call('client create --id r --grant client_credentials --json')).json().client_secret
    const before = Math.floor(Date.now() / 1000)
    const second = (await call('client rotate-secret r --keep-old 24h --json')).json()
    t.match(await rowOf('r'), {
      secret_hash: hashSecret(second.client_secret),
      old_secret_hash: hashSecret(first),
    })
    const { old_secret_expires_at } = second
    t.ok(old_secret_expires_at >= before + 86_400 && old_secret_expires_at <= before + 86_400 + 60)
    const third = await call('client rotate-secret r')
    t.match(third.stdout, /The old secret is refused from now on/)
    t.match(await rowOf('r'), { old_secret_hash: null, old_secret_expires_at: null })
  })

  t.test('update changes what is given, and leaves the rest', async t => {
    const settings = {
      grant_types: ['password', 'refresh_token'],
      scope: ['read'],
      resources: [api],
      refresh: 'rotate',
    }
    await call(
      `client create --id u --grant password refresh_token --scope read --resource ${api} --refresh-idle-ttl 1d`,
    )
    const { epoch, secret_hash } = (await rowOf('u')) ?? {}
    const shown = async () =>
      (await call('client list --json')).json().find((client: any) => client.client_id === 'u')
    const changed = await call('client update u --scope read write --admin')
    t.equal(changed.stdout, 'Changed the client u\n  scope: read -> read write\n  admin: false -> true\n')
    t.match(changed.stderr, /note: an admin may introspect/)
    t.match(await shown(), { ...settings, scope: ['read', 'write'], admin: true, refresh_idle_ttl: 86_400 })
    t.match(
      (
        await call('client update u --no-admin --no-scope --no-refresh-idle-ttl --refresh strict --json')
      ).json(),
      {
        changed: true,
        differences: {
          admin: { to: false },
          scope: { to: [] },
          refresh_idle_ttl: { to: null },
          refresh: { to: 'strict' },
        },
      },
    )
    t.match(await shown(), {
      ...settings,
      scope: [],
      admin: false,
      refresh_idle_ttl: null,
      refresh: 'strict',
    })
    t.match(await call('client update u --no-scope --scope write'), {
      code: 0,
      stdout: /scope: none -> write/,
    })
    t.match(await call('client update u --forwards-user-address --cors-origin https://a.example'), {
      code: 0,
      stdout: /forwards_user_address: false -> true\n {2}cors_origins: none -> https:\/\/a\.example\n/,
    })
    t.match(await shown(), { forwards_user_address: true, cors_origins: ['https://a.example'] })
    t.match(await call('client update u --no-forwards-user-address --no-cors-origin'), { code: 0 })
    t.match(await shown(), { forwards_user_address: false, cors_origins: [] })
    t.match(await call('client update u'), { code: 0, stdout: 'The client u is so already.\n', stderr: '' })
    t.match(await call('client update u --no-grant'), { code: 1, stderr: /without a grant can do nothing/ })
    t.match(await call('client update u --resource https://no.example'), {
      code: 1,
      stderr: /there is no resource/,
    })
    t.match(await call('client update nobody --scope read'), { code: 1, stderr: /there is no client nobody/ })
    t.match(await shown(), { ...settings, scope: ['write'], refresh: 'strict' })
    t.match(await rowOf('u'), { epoch, secret_hash }, 'neither the secret nor the sessions are touched')
  })

  t.test('what changes rights is on the audit trail', async t => {
    await call('resource create https://audited.example --scope read')
    await call('user create roleful --password-stdin', { input: 'a long enough passphrase' })
    const audited = async (event: string) =>
      (await call(`audit list --event ${event} --json`)).json().map(({ detail }: any) => detail)
    for (let i = 0; i < 2; i++) {
      await call('user update roleful --role admin')
      await call('resource update https://audited.example --access-token-ttl 1h')
    }
    t.strictSame(
      await audited('user_changed'),
      [{ roles: { from: [], to: ['admin'] } }],
      'once: then it is so already',
    )
    t.match(
      (await audited('resource_changed')).filter(({ uri }: any) => uri === 'https://audited.example'),
      [{ access_token_ttl: { from: null, to: 3600 } }],
    )
  })

  t.test('disable, enable and delete say what they did, and leave a line in the log', async t => {
    await call('client create --id d --grant client_credentials')
    const { epoch } = (await rowOf('d')) ?? {}
    const disabled = await call('client disable d')
    t.match(disabled.stdout, /^Disabled the client d\. Its sessions have ended/)
    t.match(JSON.parse(disabled.stderr), {
      event: 'client_revoked',
      client_id: 'd',
      reason: 'client disabled',
      by: 'command',
    })
    t.match(await rowOf('d'), { epoch: (epoch ?? 0) + 1, disabled_at: Number })
    t.match((await call('client list')).stdout, /d +confidential +client_credentials +\d{4}-/)
    t.match(await call('client enable d'), { code: 0, stdout: 'Enabled the client d.\n', stderr: '' })
    t.match(await rowOf('d'), { epoch: (epoch ?? 0) + 1, disabled_at: null })
    const deleted = await call('client delete d --json')
    t.match(deleted.json(), { client_id: 'd', deleted: true })
    t.match(JSON.parse(deleted.stderr), { event: 'client_revoked', client_id: 'd', reason: 'client deleted' })
    for (const verb of ['disable', 'enable', 'delete', 'rotate-secret']) {
      t.match(await call(`client ${verb} d`), { code: 1, stderr: /there is no client d/ }, verb)
    }
  })
})

t.test('resources', async t => {
  const { call } = commandLine(t)
  await call('db migrate')
  const other = 'https://other.example'
  t.match((await call(`resource create ${api} --scope read --scope read --json`)).json(), {
    uri: api,
    scope: ['read'],
    alg: 'ES256',
    access_token_ttl: null,
    status: true,
  })
  await call(`resource create ${other} --scope a b --alg RS256 --access-token-ttl 1m --no-status`)
  t.match(
    (await call('resource list')).stdout,
    /URI +ALG +TOKENS LIVE +STATUS LIST +CLAIMS +OPEN +PERSONAL +DETAILS +SCOPE\nhttps:\/\/api\.example +ES256 +5m +yes +roles, if any +no +no +none +read\n.*RS256 +1m +no +roles, if any +no +no +none +a b\n/,
  )
  t.match(await call(`resource create ${api} --scope x`), { code: 1, stderr: /exists already/ })
  t.match(await call(`resource create ${issuer} --scope x`), {
    code: 1,
    stderr: /the issuer itself/,
  })
  t.match(await call('resource create urn:example:api --scope x'), { code: 0 })

  const changed = await call(`resource update ${other} --scope a c --no-access-token-ttl`)
  t.equal(
    changed.stdout,
    `Changed the resource ${other}\n  scope: a b -> a c\n  access_token_ttl: 1m -> default\n`,
  )
  t.match(
    (await call(`resource update ${other} --alg ES256 --access-token-ttl 2m --json`)).json().differences,
    {
      alg: { from: 'RS256', to: 'ES256' },
      access_token_ttl: { from: null, to: 120 },
    },
  )
  await t.test('RA-2 types of authorization details come from a file', async t => {
    const url = 'https://bank.example'
    const docs = readFileSync(join(import.meta.dirname, '../../docs/rich-authorization-requests.md'), 'utf8')
    const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(docs) ?? []
    const file = t.testdir({
      'types.yaml': yaml,
      'odd.yaml': 'a: { title: { en: A }, schema: { pattern: x } }',
      'list.yaml': '[]',
    })
    const types = (name: string) => ['--authorization-details-types', join(file, name)]
    const created = await call(['resource', 'create', url, '--scope', 'read', ...types('types.yaml')])
    t.match(created, { code: 0, stdout: /authorization details +payment account/ })
    t.match((await call('resource list')).stdout, /payment account +read\n/)
    const update = (...args: string[]) => call(['resource', 'update', url, ...args])
    t.match(await update(...types('odd.yaml')), {
      code: 1,
      stderr: /a\.schema has "pattern", and takes type, enum/,
    })
    t.match(await update(...types('list.yaml')), { code: 1, stderr: /no object with types/ })
    t.match(await update(...types('none.yaml')), { code: 1, stderr: /none\.yaml/ })
    t.match(await update('--scope', 'read', 'write'), { code: 0 })
    const client = ['client', 'create', '--id', 'payer', '--grant', 'client_credentials', '--resource', url]
    const made = await call([...client, '--authorization-details-type', 'payment', 'other', '--json'])
    t.strictSame(made.json().authorization_details_types, ['payment', 'other'])
    t.match(made.stderr, /none of its resources knows other/)
    const applied = { resources: [{ uri: url, scope: ['read'], authorization_details_types: { a: {} } }] }
    const apply = (input: object) => call(['apply', '-', '--json', '--yes'], { input: JSON.stringify(input) })
    t.match(await apply(applied), {
      code: 1,
      stderr: /resources\[0\]\.authorization_details_types\.a\.title takes/,
    })
    t.match(await update('--no-authorization-details-types'), { code: 0 })
    t.notMatch((await call('resource list')).stdout, 'payment')
    await call(['client', 'delete', 'payer'])
    await call(['resource', 'delete', url])
  })
  await t.test('scopes have words for the page that asks for consent', async t => {
    const words = { 'read:x': 'See your orders', write: 'Ändern = löschen' }
    const url = 'https://words.example'
    const created = await call([
      ...['resource', 'create', url, '--json', '--scope', 'read:x=See your orders', 'a b'],
      ...['--scope', 'write=Ändern = löschen', 'a'],
    ])
    t.match(created.json(), { scope: ['read:x', 'a', 'b', 'write'], scope_words: words })
    t.match((await call('resource list')).stdout, 'read:x (See your orders) a b write (Ändern = löschen)')
    const change = async (...scope: string[]) =>
      (await call(['resource', 'update', url, '--json', '--scope', ...scope])).json().differences.scope_words
    t.strictSame(await change('write', 'read:x', 'a', 'b'), {
      from: words,
      to: { write: words.write, 'read:x': words['read:x'] },
    })
    t.match(await change('write=', 'read:x', 'a=Adjust', 'b'), {
      to: { 'read:x': words['read:x'], a: 'Adjust' },
    })
    t.match(await change('b'), { to: {} }, 'a scope that is gone leaves no words')
    for (const [given, said] of [
      [`b=${'x'.repeat(201)}`, /up to 200 characters/],
      ['b=a\u202eb', /none of them invisible/],
      ['b=one\ntwo', /none of them invisible/],
      ['b= one', /no space at the ends/],
      ['=one', /argument of its own/],
      ['"=one', /visible ASCII/],
      ['a b=one', /argument of its own/],
    ] as const) {
      t.match(await call(['resource', 'update', url, '--scope', given]), { code: 2, stderr: said }, given)
    }
    const file = async (resource: object) =>
      call(['apply', '-', '--json', '--yes'], { input: JSON.stringify({ resources: [resource] }) })
    const declared = { uri: url, scope: ['b', 'c'], scope_words: { c: 'Cook', b: 'Bake' } }
    t.equal((await file(declared)).code, 0)
    t.match((await file(declared)).json(), { applied: false, changes: [{ action: 'none' }] }, 'in any order')
    t.match(
      (await call('resource list --json')).json().find(({ uri }: { uri: string }) => uri === url),
      {
        scope_words: { b: 'Bake', c: 'Cook' },
      },
    )
    for (const scope_words of [{ d: 'Drink' }, { b: '' }, { b: 3 }, ['b'], { b: 'x'.repeat(201) }]) {
      t.match(await file({ ...declared, scope_words }), {
        code: 1,
        stderr: /\.scope_words (takes|has words)/,
      })
    }
    await call(`resource delete ${url}`)
  })

  t.match((await call('resource list --json')).json()[1], {
    uri: other,
    scope: ['a', 'c'],
    alg: 'ES256',
    access_token_ttl: 120,
  })
  t.match(await call('resource update https://no.example --scope a'), {
    code: 1,
    stderr: /there is no resource/,
  })

  await call(`client create --id one --grant client_credentials --resource ${api} ${other} --scope read`)
  await call(`client create --id two --resource-server ${api}`)
  const refused = await call(`resource delete ${api}`)
  t.match(refused, { code: 1, stderr: /is used by one, two: --force takes it from them/ })
  t.equal((await call('resource list --json')).json().length, 3)
  t.match((await call(`resource delete ${api} --force --json`)).json(), {
    deleted: true,
    taken_from: ['one', 'two'],
  })
  t.match((await call('client list --json')).json(), [
    { client_id: 'one', resources: [other] },
    { client_id: 'two', resource_server: [] },
  ])
  t.match(await call(`resource delete ${api}`), { code: 1, stderr: /there is no resource/ })
  t.match(await call('resource delete urn:example:api'), { code: 0, stdout: /^Deleted the resource/ })
})

t.test('users', async t => {
  const { call } = commandLine(t)
  await call('db migrate')
  const create = (name: string, input: string) =>
    call(['user', 'create', name, '--password-stdin'], { input })
  t.match(await create('alice', `${password}\r\n`), {
    code: 0,
    stdout: /^Created the user alice\n {2}sub +[0-9a-f-]{36}\n$/,
  })
  t.match(await create('alice', password), {
    code: 1,
    stderr: /there is a user alice already: `mintmark user passwd alice`/,
  })
  t.match(await create('a\u0308lice', password), { code: 0 })
  t.match(
    await create('\u00e4lice', password),
    { code: 1, stderr: /already/ },
    'in whatever form the name is typed',
  )
  const bad: readonly (readonly [string, RegExp])[] = [
    ['', /the password is empty/],
    ['seven 7', /too short: it needs 8 characters/],
    ['two lines\nof text', /line break/],
    [`${password}\n\n`, /line break/],
    ['x'.repeat(1025), /longer than 1024 bytes/],
  ]
  for (const [input, sentence] of bad) {
    const { code, stdout, stderr } = await create('bob', input)
    t.match({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr, sentence)
    if (input !== '') t.notMatch(stderr, input, 'and the password is not shown')
  }

  t.equal(
    (await call('user update alice --role editor')).stdout,
    'Changed the user alice\n  roles: none -> editor\n',
  )
  t.match((await call('user list --json')).json()[0], { username: 'alice', roles: ['editor'] })
  t.match(await call('user update alice --role editor'), {
    code: 0,
    stdout: 'The user alice is so already.\n',
  })
  t.match((await call('user update alice --no-role --json')).json(), { differences: { roles: { to: [] } } })
  t.match(await call('user update nobody --role x'), { code: 1, stderr: /there is no user nobody/ })

  const changed = await call('user passwd alice --password-stdin --json', { input: 'another password' })
  t.match(changed.json(), { username: 'alice' })
  t.match(JSON.parse(changed.stderr), {
    event: 'user_revoked',
    sub: changed.json().sub,
    reason: 'password changed',
  })
  t.match(await call('user disable alice'), { code: 0, stderr: /"reason":"user disabled"/ })
  t.match((await call('user list --json')).json(), [
    { username: 'alice', disabled_at: Number },
    { username: '\u00e4lice' },
  ])
  t.match(await call('user enable alice'), { code: 0, stdout: 'Enabled the user alice.\n' })
  t.match(await call('user delete alice'), { code: 0, stderr: /"reason":"user deleted"/ })
  for (const verb of ['passwd', 'disable', 'enable', 'delete']) {
    const options = verb === 'passwd' ? ' --password-stdin' : ''
    t.match(
      await call(`user ${verb} alice${options}`, { input: password }),
      { code: 1, stderr: /there is no user alice/ },
      verb,
    )
  }
})

t.test('a new password is what people see and can type (RFC 8265 §4.2)', async t => {
  const server = await startServer(t)
  const { call } = commandLine(t)
  const env = { MINTMARK_ISSUER: 'https://as.example', ...besideEnv(server) }
  const app = await server.client('app', { isPublic: true })
  const create = (name: string, input: string | Buffer) =>
    call(`user create ${name} --password-stdin`, { input, env })

  const taken: readonly (readonly [string, string | Buffer, string])[] = [
    [
      'UTF-8 with a byte order mark, as PowerShell pipes it',
      '\ufeffgr\u00fcn und gelb\r\n',
      'gr\u00fcn und gelb',
    ],
    ['a space that is not that of ASCII', 'gr\u00fcn\u00a0und\u3000gelb', 'gr\u00fcn und gelb'],
    ['another normal form', 'gru\u0308n und gelb', 'gr\u00fcn und gelb'],
    ['typed with such a space', 'gr\u00fcn und gelb', 'gr\u00fcn\u2003und gelb'],
    ['spaces at its ends', ' gr\u00fcn und gelb ', ' gr\u00fcn und gelb '],
    ['emoji', 'gr\u00fcn \u{1f511} gelb', 'gr\u00fcn \u{1f511} gelb'],
    [
      'a joiner within a word',
      '\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645',
      '\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645',
    ],
  ]
  for (const [i, [title, input, typed]] of taken.entries()) {
    t.match(await create(`user${i}`, input), { code: 0 }, title)
    const username = `user${i}`
    const answer = await server.post('/token', {
      grant_type: 'password',
      username,
      password: typed,
      ...app.form,
    })
    t.equal(answer.statusCode, 200, title)
  }

  const refused: readonly (readonly [string, string | Buffer, RegExp])[] = [
    [
      'Latin-1',
      Buffer.from('gr\u00fcn und gelb', 'latin1'),
      /the password is not UTF-8: save or pipe it as UTF-8/,
    ],
    [
      'UTF-16 with a mark',
      Buffer.from('\ufeffgreen and yellow\r\n', 'utf16le'),
      /the password is UTF-16, as PowerShell/,
    ],
    [
      'UTF-16 the other way',
      Buffer.from('\ufeffgreen and yellow', 'utf16le').swap16(),
      /the password is UTF-16/,
    ],
    ['UTF-16 without a mark', Buffer.from('green and yellow', 'utf16le'), /the password is UTF-16/],
    ['a tab', 'green\tand yellow', /a tab or another control character/],
    [
      'a control character of the second block',
      'green\u0085and yellow',
      /a tab or another control character/,
    ],
    ['two lines', 'green\nand yellow\n', /a line break/],
    ['a byte order mark within', 'green\ufeffand yellow', /a character that cannot be seen/],
    ['two byte order marks', '\ufeff\ufeffgreen and yellow', /a character that cannot be seen/],
    ['a joined emoji', 'my \u{1f468}\u200d\u{1f469} family', /joins parts of an emoji/],
    ['what Unicode does not have', 'green and \u{e0fff} yellow', /that Unicode does not have/],
    ['seven characters, made of eight code points', 'u\u03081234567'.slice(0, 8), /too short: it needs 8/],
    ['nothing', '\ufeff\r\n', /the password is empty/],
  ]
  for (const [title, input, reason] of refused) {
    const { code, stderr } = await create('nobody', input)
    t.match({ code, stderr }, { code: 1, stderr: reason }, title)
    t.notMatch(stderr, /yellow|\u{1f468}/u, 'and the password is not shown')
  }
})

t.test(
  'what stdin or a file holds is read as Windows writes it too, and told by its name where it cannot be',
  async t => {
    const { home, call } = commandLine(t)
    await call('db migrate')
    await call(`resource create ${api} --scope read`)
    const put = (name: string, content: string | Buffer) => {
      writeFileSync(join(home, name), content)
      return join(home, name)
    }
    const jwk = JSON.stringify(newClientKey().jwks)
    const yaml = `resources:\r\n  - uri: ${api}\r\n    scope: [read]\r\n`
    const keys = 'client set-keys signs --jwks'
    await call([
      'client',
      'create',
      '--id',
      'signs',
      '--jwks',
      put('first.jwk', jwk),
      '--grant',
      'client_credentials',
    ])
    for (const [command, text] of [
      ['apply --json', yaml],
      [keys, jwk],
    ] as const) {
      const call1 = (path: string, input = '') => call([...command.split(' '), path], { input })
      t.match(await call1(put('marked', `\ufeff${text}`)), { code: 0 }, `${command}: a byte order mark`)
      t.match(await call1('-', `\ufeff${text}\r\n`), { code: 0 }, `${command}: stdin`)
      const refused: readonly (readonly [string, string | Buffer, RegExp])[] = [
        [
          'wide',
          Buffer.from(`\ufeff${text}`, 'utf16le'),
          /wide is UTF-16, as PowerShell and Notepad may write it/,
        ],
        ['latin', Buffer.from('# gr\u00fcn', 'latin1'), /latin is not UTF-8/],
        ['empty', '', /empty is empty/],
        ['blank', '\ufeff \r\n', /blank is empty/],
        [
          'other',
          '-----BEGIN PUBLIC KEY-----\nx',
          /other (takes a JWK Set .* this is PEM|cannot be read|is not valid)/,
        ],
      ]
      for (const [name, content, reason] of refused) {
        const { code, stderr } = await call1(put(name, content))
        t.match({ code, stderr }, { code: 1, stderr: reason }, `${command}: ${name}`)
      }
      t.match(await call1(home), { code: 1, stderr: `${home}: it is a directory` }, `${command}: a folder`)
      t.match(
        await call1(join(home, 'no')),
        { code: 1, stderr: `no: there is no such file` },
        `${command}: none`,
      )
      if (process.getuid?.() !== 0) {
        chmodSync(put('closed', text), 0)
        t.match(await call1(join(home, 'closed')), { code: 1, stderr: 'closed: permission denied' }, command)
      }
      t.match(await call1('-', ''), { code: 1, stderr: /stdin is empty/ }, `${command}: an empty stdin`)
    }
    const cut = await call(['client', 'list\r'])
    t.match(cut, {
      code: 2,
      stderr: 'mintmark: "list\\r" holds a carriage return: the script that runs this has',
    })
  },
)

t.test('what apply does is on the audit trail', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  const file = join(home, 'declared.yaml')
  const applied = async (scope: string) => {
    const client = `{ client_id: web, grant_types: [client_credentials], scope: [${scope}], resources: ['${api}'] }`
    writeFileSync(file, `resources: [{ uri: '${api}', scope: [read, write] }]\nclients: [${client}]\n`)
    t.match(await call(['apply', file, '--yes']), { code: 0 })
    return (await call('audit list --json')).json().map(({ event }: any) => event)
  }
  t.strictSame(await applied('read'), ['resource_created', 'client_created'])
  t.strictSame(await applied('read, write'), ['resource_created', 'client_created', 'client_changed'])
  t.equal((await applied('read, write')).length, 3, 'and nothing where nothing has changed')
  await call('key policy --rotation-interval 20d --yes')
  const { stdout } = await call('audit list')
  t.match(stdout, /client_created .* grant types: client_credentials, scope: read, resources: https:/)
  t.match(stdout, /client_changed .* scope: read -> read write\n/)
  t.match(stdout, /key_policy_changed .* key_rotation_seconds: 30d -> 20d\n/)
  t.notMatch(stdout, /false/, 'what is not so goes without saying')
})

t.test('apply declares the roles of users who are there, and the key policy', async t => {
  const commands = commandLine(t)
  const { call } = commands
  await call('db migrate')
  const apply = applier(commands)
  for (const name of ['ada', 'bob', 'cyd'])
    await call(['user', 'create', name, '--password-stdin', '--role', 'reader'], {
      input: 'a wholly new one',
    })
  await call('user update ada --claim email=ada@example.com --claim email_verified=true')
  await call(`resource create ${api} --scope read`)
  const rolesOf = async () =>
    Object.fromEntries(
      (await call('user list --json')).json().map(({ username, roles }: any) => [username, roles]),
    )
  const declared = `
users:
  - username: ada
    roles: [mintmark:admin, editor@${api}]
  - { username: bob, roles: [] }
key_policy: { key_rotation_seconds: 20d }
`
  const dry = await apply(declared, ['--dry-run'])
  t.match(dry.stdout, /~ user ada\n +roles: reader -> mintmark:admin editor@https:\/\/api\.example\n/)
  t.match(dry.stdout, /~ user bob\n +roles: reader -> none\n/)
  t.match(dry.stdout, /~ policy keys\n +key_rotation_seconds: 30d -> 20d\n/)
  t.strictSame(await rolesOf(), { ada: ['reader'], bob: ['reader'], cyd: ['reader'] })
  t.match((await apply(declared)).json(), { applied: true, client_secrets: {} })
  const roles = { ada: ['mintmark:admin', `editor@${api}`], bob: [], cyd: ['reader'] }
  t.strictSame(await rolesOf(), roles, 'who is not named is left alone')
  t.match((await call('key policy --json')).json(), { key_rotation_seconds: 20 * 86_400 })
  t.match((await apply(declared)).json(), { applied: false })
  const audit = (await call('audit list --json')).json()
  const users = audit.filter(({ event, detail }: any) => event === 'user_changed' && detail.roles)
  t.match(users, [{ sub: /-/, detail: { roles: { from: ['reader'] } } }, {}])
  t.match(
    audit.filter(({ event }: any) => event === 'key_policy_changed'),
    [{ detail: { to: { key_rotation_seconds: 20 * 86_400 } } }],
  )

  const refused: readonly (readonly [string, RegExp])[] = [
    ['users: [{ username: eve, roles: [a] }]', /eve: there is no such user: .*user invite/],
    ['users: [{ username: ada }]', /users\[0\]\.roles is missing: a list of roles/],
    ['users: [{ username: ada, roles: ["a\\"b"] }]', /users\[0\]\.roles takes a list of roles/],
    ['users: [{ username: ada, role: a, roles: [] }]', /"role", which is not known; did you mean roles/],
    ['users: [{ username: ada, roles: [], password: x }]', /"password", which is not known/],
    ['users: [{ username: ada, roles: [] }, { username: ada, roles: [] }]', /ada is declared more than once/],
    [
      'users: [{ username: ada, roles: [] }, { username: Ada@example.com, roles: [] }]',
      /Ada@example.com: it is the same user as ada/,
    ],
    ['key_policy: { key_rotation_seconds: 60, jwks_max_age_seconds: 1h }', /this policy cannot work/],
    ['key_policy: { key_rotation_seconds: 1s }', /takes a duration from 60 to/],
    ['key_policy: { key_rotation: 30d }', /"key_rotation", which is not known/],
  ]
  for (const [content, reason] of refused) {
    const { code, stderr } = await apply(content)
    t.equal(code, 1, content)
    t.match(stderr, reason, content)
  }
  t.strictSame(await rolesOf(), roles, 'and nothing is changed by any of it')
})

t.test('apply', async t => {
  const commands = commandLine(t)
  const { home, call } = commands
  await call('db migrate')
  const apply = applier(commands)
  const declared = `
resources:
  - uri: ${api}
    scope: [read, write]
    access_token_ttl: 10m
clients:
  - client_id: web
    public: true
    grant_types: [password, refresh_token]
    scope: read write
    resources: ${api}
  - client_id: __proto__
    grant_types: [client_credentials]
    scope: [read]
    resources: [${api}]
`
  t.test('shows the plan, and does nothing until it may', async t => {
    const dry = await apply(declared, ['--dry-run'])
    t.match(dry, { code: 0, stderr: '' })
    t.match(
      dry.stdout,
      /\+ resource https:\/\/api\.example\n +scope: read write\n +alg: ES256\n +access_token_ttl: 10m\n/,
    )
    t.match(dry.stdout, /\+ client web\n[^]*note: RFC 9700/)
    t.match(dry.stdout, /Nothing was changed/)
    t.match(await apply(declared, []), {
      code: 2,
      stdout: '',
      stderr: /Make 3 changes\? Nobody is here to ask: add --yes/,
    })
    t.strictSame((await call('client list --json')).json(), [])
  })

  t.test('is idempotent, and shows new secrets once', async t => {
    const first = (await apply(declared)).json()
    t.match(first, {
      applied: true,
      changes: [{ action: 'create' }, { action: 'create' }, { action: 'create' }],
    })
    t.strictSame(Object.keys(first.client_secrets), ['__proto__'])
    const second = await apply(declared)
    t.match(second.json(), {
      applied: false,
      changes: [{ action: 'none' }, { action: 'none' }, { action: 'none' }],
    })
    t.notOk('client_secrets' in second.json())
    t.match(
      await apply(
        JSON.stringify({ resources: [{ uri: api, scope: ['read', 'write'], access_token_ttl: 600 }] }),
      ),
      {
        code: 0,
        stdout: /"applied": false/,
      },
    )
  })

  t.test('changes what the file names, and leaves the rest alone', async t => {
    await call('client create --id mine --grant client_credentials')
    const { stderr, stdout } = await apply(
      declared.replace('scope: read write', 'scope: read\n    refresh: strict'),
    )
    t.match(
      stderr,
      /= resource https:\/\/api\.example\n {2}~ client web\n +scope: read write -> read\n +refresh: rotate -> strict\n/,
    )
    t.match(JSON.parse(stdout).changes[1].differences, { scope: { from: ['read', 'write'], to: ['read'] } })
    const ids = (await call('client list --json')).json().map((client: any) => client.client_id)
    t.strictSame(ids, ['__proto__', 'mine', 'web'])
    const defaults = await apply('clients: [{client_id: web, public: true, grant_types: [password]}]')
    t.match(defaults.json().changes[0].differences, {
      resources: { to: [] },
      refresh: { from: 'strict', to: 'rotate' },
    })
  })

  t.test('refuses what it does not know or what cannot be, all at once, and changes nothing', async t => {
    const before = (await call('client list --json')).stdout
    const refused: readonly (readonly [string, readonly RegExp[]])[] = [
      ['# nothing', [/the file takes an object with claims, resources, clients/]],
      ['[]', [/the file takes an object/]],
      ['a: 1\na: 2', [/Map keys must be unique at line 2/]],
      ['resources: [', [/cannot be read/]],
      ['resource: []', [/the file has "resource", which is not known; did you mean resources\?/]],
      ['resources: 3', [/the file\.resources takes a list/]],
      ['resources: [3]', [/resources\[0\] takes an object with uri, scope, alg, access_token_ttl/]],
      ['resources: [{}]', [/resources\[0\]\.uri is missing: an absolute URI/]],
      [
        `resources: [{uri: "${api}#a", scopes: a, alg: none, access_token_ttl: 5}]`,
        [
          /\.uri takes an absolute URI/,
          /"scopes", which is not known; did you mean scope\?/,
          /\.alg takes one of/,
          /\.access_token_ttl takes a duration/,
        ],
      ],
      [`resources: [{uri: "${api}", scope: ['a b']}]`, [/\.scope takes a list of scopes/]],
      [
        'clients: [{client_id: web, pubic: true, grant: password}]',
        [/"pubic".*did you mean public/, /"grant", which is not known/],
      ],
      [
        'clients: [{public: "yes", admin: 1}]',
        [/\.client_id is missing/, /\.public takes true or false/, /\.admin takes true or false/],
      ],
      [
        'clients: [{client_id: a, refresh: never, refresh_idle_ttl: 1.5}]',
        [/\.refresh takes one of rotate/, /refresh_idle_ttl takes a duration/],
      ],
      [
        'clients: [{client_id: a, grant_types: [password]}, {client_id: a, grant_types: [password]}]',
        [/the client a is declared more than once/],
      ],
      ['clients: [{client_id: a, grant_types: [implicit]}]', [/a: implicit is no grant type here/]],
      [
        'clients: [{client_id: a, grant_types: [password], resources: ["https://no.example"]}]',
        [/a: there is no resource https:\/\/no\.example/],
      ],
      [
        'clients: [{client_id: web, grant_types: [client_credentials]}]',
        [/web: a client stays public or confidential/],
      ],
      [`resources: [{uri: "${issuer}", scope: a}]`, [/it is the issuer/]],
    ]
    for (const [content, reasons] of refused) {
      const { code, stdout, stderr } = await apply(content)
      t.match({ code, stdout }, { code: 1, stdout: '' }, content)
      for (const reason of reasons) t.match(stderr, reason, content)
    }
    t.match(await call(`apply ${join(home, 'missing.yaml')}`), {
      code: 1,
      stderr: /missing\.yaml: there is no such file/,
    })
    t.equal((await call('client list --json')).stdout, before)
  })
})

t.test(
  'an algorithm that begins a ring of its own is told with the verifiers that cannot read it',
  async t => {
    const { home, call } = commandLine(t)
    await call('db migrate')
    const create = (name: string, alg: string) =>
      call(`resource create https://${name}.example --scope read --alg ${alg}`)
    const rust =
      /^note: the key set is one for all APIs.* jsonwebtoken \(Rust\) before 10 cannot read it any more, for any/m
    const others =
      /^note: the key set is one for all APIs, .* PS256 keys: .* cannot read the key set refuses the tokens of/m
    for (const alg of ['ES256', 'RS256'])
      t.equal((await create(alg, alg)).stderr, '', `${alg} is there from the start`)
    t.match(await create('ps', 'PS256'), { code: 0, stderr: others })
    t.equal((await create('ps2', 'PS256')).stderr, '', 'once')
    const file = join(home, 'declared.json')
    writeFileSync(
      file,
      JSON.stringify({ resources: [{ uri: 'https://ed.example', scope: 'read', alg: 'Ed25519' }] }),
    )
    t.match(await call(['apply', file, '--dry-run']), {
      stdout: /\+ resource https:.*\n[^]* jsonwebtoken \(Rust\) before 10/,
    })
    t.match(await call('resource update https://ps.example --alg Ed25519'), { code: 0, stderr: rust })
    t.equal((await call('resource update https://ps.example --scope write')).stderr, '', 'and only then')
    t.match(await create('eddsa', 'EdDSA'), { code: 0, stderr: /it holds EdDSA keys/ })
  },
)

t.test('apply makes any number of changes at once, and says in time what is declared twice', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  const names = Array.from({ length: 3300 }, (_, i) => `many${i}`)
  const declared = {
    clients: names.map(name => ({ client_id: name, grant_types: ['client_credentials'] })),
  }
  const file = join(home, 'many.json')
  writeFileSync(file, JSON.stringify(declared))
  const made = await call(['apply', file, '--yes'])
  t.match(made, { code: 0, stdout: /^Made 3,300 changes\.\n/ })
  t.equal((await call('client list --json')).json().length, 3300)
  writeFileSync(file, JSON.stringify({ clients: [...declared.clients, ...declared.clients.slice(-1)] }))
  t.match(await call(['apply', file]), {
    code: 1,
    stderr: /the client many3299 is declared more than once/,
  })
})
