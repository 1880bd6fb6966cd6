import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import t from 'tap'
import { insertAuditEntries } from '../../db/installation/audit.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { openDatabase } from '../../db/open-database.ts'
import { commandsOf } from '../../src/commands/shell/command-line.ts'
import type { Terminal } from '../../src/commands/shell/command.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { bareEnv } from '../helpers/bare-env.ts'
import { builtProgram } from '../helpers/built-program.ts'
import { commandLine, issuer } from '../helpers/cli.ts'
import { auditRow } from '../helpers/records.ts'

const api = 'https://api.example'
const password = 'correct horse battery'

t.test(
  'an answer that cannot be written is told, without a stack',
  { skip: !existsSync('/dev/full') },
  async t => {
    const { home, call } = commandLine(t)
    await call('db migrate')
    const child = spawn(
      process.execPath,
      [builtProgram(), 'client', 'create', '--id', 'web', '--grant', 'client_credentials'],
      {
        env: { ...bareEnv, MINTMARK_HOME: home, MINTMARK_ISSUER: issuer },
        stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
      },
    )
    const [stderr] = await Promise.all([text(child.stderr ?? Readable.from([])), once(child, 'close')])
    t.equal(child.exitCode, 1)
    t.match(stderr, /stdout cannot be written, what the command did is done: the disk is full\n/)
    t.notMatch(stderr, /\n +at /)
    t.match((await call('client list')).stdout, /web/)
  },
)

t.test(
  'only serve, dev and db migrate make anything; the others say which absolute path is missing',
  async t => {
    const { home, call, run } = commandLine(t)
    writeFileSync(join(home, 'declared.yaml'), 'clients: []')
    const commands = [
      'client list',
      'client create --id web --grant client_credentials',
      'client rotate-secret web',
      'client disable web',
      'client delete web',
      'resource list',
      `resource create ${api} --scope read`,
      'user list',
      'user create alice --password-stdin',
      'user passwd alice --password-stdin',
      'session list',
      'session revoke --all --yes',
      `apply ${join(home, 'declared.yaml')} --yes`,
      'db status',
      `db backup ${join(home, 'backup.sqlite')}`,
    ]
    const sentence = `there is no database at ${join(home, 'db/mintmark.sqlite')}: \`mintmark db migrate\` makes one`
    for (const command of commands) {
      const { code, stdout, stderr } = await call(command, { input: password })
      const name = command
        .split(' ')
        .slice(0, command.startsWith('apply') ? 1 : 2)
        .join(' ')
      t.equal(code, 1, command)
      t.equal(stdout, '', command)
      t.match(stderr, `mintmark ${name}: ${sentence}`, command)
    }
    t.match(await run('client list'), { code: 1, stdout: '', stderr: `mintmark client list: ${sentence}` })
    const doctor = await call('doctor')
    t.equal(doctor.code, 1)
    t.match(doctor.stdout, sentence)
    t.strictSame(readdirSync(home), ['declared.yaml'], 'and nothing was made')

    await call('db migrate')
    const rootKey = join(home, 'keys/root.key')
    const key = readFileSync(rootKey)
    writeFileSync(rootKey, '')
    rmSync(rootKey)
    t.match(await call('client list'), { code: 1, stderr: `there is no root key at ${rootKey}` })
    t.notOk(existsSync(rootKey), 'nor is a root key')
    writeFileSync(rootKey, key, { mode: 0o600 })
    t.match(await call('client list'), { code: 0 })
  },
)

t.test('every command has a help with examples, and takes --json', async t => {
  const { call, run } = commandLine(t)
  const leaves: string[] = []
  const visit = (self: CommandUnknownOpts, path: string) => {
    if (self.commands.length === 0) leaves.push(path)
    for (const child of self.commands) visit(child, `${path} ${child.name()}`.trim())
  }
  visit(commandsOf({} as Terminal), '')
  t.ok(leaves.length >= 20)
  for (const path of leaves) {
    const { code, stdout, stderr } = await call(`${path} --help`)
    t.match({ code, stderr }, { code: 0, stderr: '' }, path)
    t.match(stdout, `Usage: mintmark ${path}`)
    t.match(stdout, /\nExamples:\n {2}.*mintmark /, `${path} shows how it is used`)
    t.match(stdout, /--json +print one JSON document/, path)
  }
  t.match(await run('--help'), { code: 0, stdout: /Commands:/, stderr: '' })
  t.match(await call('--version'), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
})

t.test('what is typed wrongly has exit code 2 and says what would be right', async t => {
  const { call, run } = commandLine(t)
  await call('db migrate')
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['clint list', /^mintmark: unknown command 'clint' \(Did you mean client\?\)\n`mintmark --help`/],
    ['client lst', /^mintmark client: unknown command 'lst' \(Did you mean list\?\)/],
    ['client list --jsn', /^mintmark client list: unknown option '--jsn' \(Did you mean --json\?\)/],
    ['client', /Usage: mintmark client/],
    ['client list more', /too many arguments/],
    ['client create', /required option '--id <client_id>' not specified/],
    [
      'client create --id a --grant implicit',
      /A grant type is one of authorization_code, password, refresh_token, client_credentials/,
    ],
    ['client create --id a --refresh never', /Allowed choices are rotate, strict, reuse/],
    ['client create --id a --refresh-idle-ttl 1s', /takes a duration from 1m to 3650d/],
    ['client create --id a --public --grant password --secret-file x', /a public client has no secret/],
    ['client rotate-secret a --keep-old for-ever', /takes a duration from 1s to 90d/],
    [`resource create ${api}`, /required option '--scope <scope...>' not specified/],
    ['resource create api --scope a', /A resource is an absolute URI without a fragment/],
    [`resource create ${api}#a --scope a`, /without a fragment/],
    [`resource create ${api} --scope a"b`, /A scope is visible ASCII/],
    [`resource create ${api} --scope a --alg none`, /Allowed choices are/],
    [`resource create ${api} --scope a --access-token-ttl 2d`, /takes a duration from 10s to 1d/],
    ['user create', /missing required argument 'name'/],
    ['user create alice', /add --password-stdin/],
    ['user create 0192e3a5-9f3d-7c51-8a4e-0d7d7a3c2b11 --password-stdin', /not the form of a UUID/],
    ['user create alice --role a\\b --password-stdin', /A role is visible ASCII/],
    ['session revoke', /say which sessions: by --user, --client, .* \(or several\), or --all of them/],
    ['session revoke --all --user alice', /say which sessions/],
    ['session revoke --id abc', /A sid is a UUID/],
    ['db backup', /missing required argument 'file'/],
  ]
  for (const [command, sentence] of wrong) {
    const { code, stdout, stderr } = await call(command, { input: password })
    t.equal(code, 2, command)
    t.equal(stdout, '', command)
    t.match(stderr, sentence, command)
    t.notMatch(stderr, / at .*\.[jt]s:/, 'without a stack trace')
  }
  t.match(await call(['user', 'create', ' alice', '--password-stdin']), {
    code: 2,
    stderr: /no space at the ends/,
  })
  t.match(await call(['user', 'create', 'a\u200bb', '--password-stdin']), {
    code: 2,
    stderr: /none of them invisible/,
  })
  t.match(await run('client list --jsn'), { code: 2, stdout: '', stderr: /unknown option/ })
  t.match(await run('session revoke'), { code: 2, stderr: /say which/ })
})

t.test('settings that are wrong end every command with all problems', async t => {
  const { run } = commandLine(t)
  const { code, stderr } = await run('client list', { env: { MINTMARK_PORT: 'x', MINTMARK_ISUER: 'y' } })
  t.equal(code, 1)
  t.match(
    stderr,
    /^mintmark client list: The configuration is not valid:\n- MINTMARK_PORT is "x".*\n- MINTMARK_ISUER/,
  )
})

t.test('from an empty directory to clients, users and sessions', async t => {
  const { home, call, succeed } = commandLine(t)
  const made = await succeed('db migrate')
  t.match(made.stdout, `Migrated ${join(home, 'db/mintmark.sqlite')}:\n  0001-start\n`)
  t.match(made.stdout, /:(?:\n {2}\d{4}-[a-z-]+)+\nMade the root key/)
  t.equal(statSync(join(home, 'keys/root.key')).mode & 0o777, 0o600)
  t.equal(statSync(join(home, 'db/mintmark.sqlite')).mode & 0o777, 0o600)
  t.match((await call('db migrate --json')).json(), { migrated: [], root_key_made: null })

  t.match(await call(`resource create ${api} --scope read write --alg RS256`), {
    stdout: /^Created the resource/,
  })
  const client = await succeed(
    `client create --id job --grant client_credentials --resource ${api} --scope read`,
  )
  t.match(
    client.stdout,
    /^Created the confidential client job\n {2}client_id +job\n {2}client_secret +mm_cs_[\w-]{43}\n/,
  )
  t.match(client.stdout, /it is not shown again/)
  const user = await succeed('user create alice --password-stdin --role admin editor --json', {
    input: `${password}\n`,
  })
  t.match(user.json(), { sub: /^[0-9a-f-]{36}$/, username: 'alice', roles: ['admin', 'editor'] })

  const [clients, users, sessions, status, doctor] = await Promise.all([
    succeed('client list --json'),
    succeed('user list'),
    call('session list'),
    call('db status'),
    succeed('doctor'),
  ])
  t.match(clients.json(), [
    { client_id: 'job', public: false, grant_types: ['client_credentials'], scope: ['read'] },
  ])
  t.match(
    users.stdout,
    /^NAME +SUB +ROLES +GROUPS +SINCE +DISABLED\nalice +[0-9a-f-]{36} +admin editor +\d{4}-\d\d-\d\d/,
  )
  t.notMatch(users.stdout, /\x1b/, 'no colours where no terminal is')
  t.equal(sessions.stdout, 'There is no such session.\n')
  t.match(status.stdout, /schema +up to date\n[^]*holds +1 user, 1 client, 1 resource/)
  t.match(doctor.stdout, /All is well\.\n$/)

  const secret = /mm_cs_[\w-]+/.exec(client.stdout)?.[0] ?? ''
  for (const { stdout, stderr } of [clients, users, sessions, status, doctor, user]) {
    t.notMatch(stdout + stderr, secret, 'a secret is shown once')
    t.notMatch(stdout + stderr, password)
    t.notMatch(stdout + stderr, /\$argon2/)
  }
  t.match(await call('client create --id job --grant client_credentials'), {
    code: 1,
    stderr: /there is a client job already/,
  })
})

t.test('a reader that has seen enough is no error', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  for (let i = 0; i < 3; i++) await call(`resource create ${api}/${i} --scope ${'x'.repeat(60_000)}`)
  const child = spawn(process.execPath, [builtProgram(), 'resource', 'list'], {
    env: { ...bareEnv, MINTMARK_HOME: home, MINTMARK_ISSUER: issuer },
  })
  child.stdout.once('data', () => child.stdout.destroy())
  const [stderr] = await Promise.all([text(child.stderr ?? Readable.from([])), once(child, 'close')])
  t.equal(stderr, '')
})

t.test('doctor finds what is wrong, and says what to do', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  const rootKey = join(home, 'keys/root.key')
  t.match((await call('doctor --json')).json(), { problems: 0, warnings: 0 })

  chmodSync(rootKey, 0o644)
  chmodSync(join(home, 'db/mintmark.sqlite'), 0o644)
  chmodSync(join(home, 'keys'), 0o777)
  const open = await call('doctor')
  t.equal(open.code, 1)
  t.match(open.stdout, `problem  files          others can read the root key ${rootKey} (mode 0644)\n`)
  t.match(open.stdout, `-> chmod 600 ${rootKey}\n`)
  t.match(open.stdout, /warning {2}files +others can read the database/)
  t.match(open.stdout, /problem {2}files +others can replace files in/)
  t.match(open.stdout, /\d problems, 1 warning\.\n$/)
  chmodSync(rootKey, 0o600)
  chmodSync(join(home, 'keys'), 0o700)
  t.match((await call('doctor --json')).json(), { problems: 0, warnings: 1 })

  t.match(await call('doctor', { env: { MINTMARK_PORT: 'x' } }), {
    code: 1,
    stdout: /configuration +The configuration is not valid/,
  })
  t.match(await call('doctor', { env: { MINTMARK_ISSUER: 'http://localhost:1' } }), {
    code: 1,
    stdout: `this database belongs to the issuer ${issuer}, but`,
  })
  const key = readFileSync(rootKey)
  writeFileSync(rootKey, `${Buffer.alloc(32, 7).toString('base64url')}\n`)
  t.match(await call('doctor'), { code: 1, stdout: /is not the one that this database was made with/ })
  writeFileSync(rootKey, key)
})

t.test('H-12 doctor warns when everybody seems to come from one address', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call('client create --id app --public --grant password')
  await call('client create --id site --grant password')
  await call('client create --id portal --grant password --forwards-user-address')
  const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  t.teardown(() => db.close())
  const now = Math.floor(Date.now() / 1000)
  const logIns = (clientId: string, count: number, addressOf: (i: number) => string, at = now) =>
    insertAuditEntries(
      db,
      Array.from({ length: count }, (_, i) => {
        const facts = { userId: newUuid(at), clientId, address: addressOf(i) }
        return auditRow({ at, event: 'log_in', actor: `client ${clientId}`, ...facts })
      }),
    )
  const warnings = async (env = {}) =>
    (await call('doctor --json', { env }))
      .json()
      .findings.filter(
        ({ check, verdict }: Record<string, string>) => `${check} ${verdict}` === 'addresses warning',
      )

  await logIns('site', 9, () => '10.0.0.9')
  await logIns('app', 4, () => '10.0.0.1')
  await logIns('app', 9, i => `192.0.2.${i}`, now - 40 * 86_400)
  t.strictSame(await warnings(), [], 'few users, and those of a client that has one address, say nothing')
  await logIns('app', 1, () => '10.0.0.1')
  await logIns('portal', 5, () => '10.0.0.2')
  t.match(await warnings(), [
    {
      text: /5 users .* the client app came from 10\.0\.0\.1$/,
      advice: /set MINTMARK_TRUST_PROXY=10\.0\.0\.1/,
    },
    { text: /5 users .* the client portal came from 10\.0\.0\.2$/, advice: /`Forwarded: for=ADDRESS`/ },
  ])
  const [app] = await warnings({ MINTMARK_TRUST_PROXY: '10.0.0.7' })
  t.match(app, { advice: /add it to MINTMARK_TRUST_PROXY/ })
  await logIns('app', 1, () => '10.0.0.3')
  await logIns('portal', 1, () => '10.0.0.3')
  t.strictSame(await warnings(), [])
})

t.test('doctor looks at a running server, through the address that clients use', async t => {
  const { call, serve } = commandLine(t)
  const { url } = await serve()
  t.match((await call('doctor')).stdout, /ok +keys +4 keys, all in order/)
  await call('key policy --jwks-max-age 20 --yes')
  t.match(
    (await call('doctor')).stdout,
    /warning +keys +under this policy a key is published for only 2 × 20 s/,
  )
  const looks: readonly (readonly [maxAge: number, doctor: RegExp, policy: RegExp])[] = [
    [29, /warning .* at most once in 60 s \(oauth4webapi\), 300 s/, /--jwks-max-age 150` or more/],
    [30, /warning .* at most once in 300 s \(keyfunc, Authlib\), 900 s/, /--jwks-max-age 150` or more/],
    [149, /warning .* at most once in 300 s/, /Note: under this policy/],
    [
      150,
      /ok +keys .*\n.*once in 15m \(jwx, as it comes\) has to look +every 300 s/,
      /needs a max-age of 450 s/,
    ],
    [449, /ok +keys .*\n.*has to look every 898 s/, /Note: a verifier that looks/],
  ]
  for (const [maxAge, doctor, policy] of looks) {
    await call(`key policy --jwks-max-age ${maxAge} --yes`)
    t.match((await call('doctor')).stdout, doctor, `a max-age of ${maxAge} s`)
    t.match((await call('key policy')).stdout, policy, `a max-age of ${maxAge} s`)
  }
  await call('key policy --jwks-max-age 450 --yes')
  t.notMatch((await call('doctor')).stdout, /looks at the key set/)
  t.notMatch((await call('key policy')).stdout, /Note/)
  const elsewhere = await call('doctor', { env: { MINTMARK_ISSUER: url } })
  t.match(
    elsewhere.stdout,
    `the server at ${url}/.well-known/oauth-authorization-server calls itself ${issuer}, but`,
  )
  t.match(elsewhere.stdout, /-> have the proxy pass/)
})

t.test('doctor says which keys are damaged', async t => {
  const { home, call, serve } = commandLine(t)
  const server = (await serve()).process
  // It would put them right.
  server.kill('SIGTERM')
  await once(server, 'close')
  const database = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
  await database.sql
    .updateTable('signing_keys')
    .set({ sealed_private_key: Buffer.alloc(100) })
    .where('activated_at', 'is', null)
    .where('alg', '=', 'RS256')
    .execute()
  await database.sql
    .deleteFrom('signing_keys')
    .where('alg', '=', 'ES256')
    .where('activated_at', 'is not', null)
    .execute()
  const [damaged] = await listSigningKeys(database)
  if (!damaged) throw new Error('there is no key')
  const odd = { ...damaged, kid: '\u001b[2J\n"', activated_at: 1, retired_at: 1 }
  await database.sql.insertInto('signing_keys').values(odd).execute()
  await database.close()
  const { code, stdout, stderr } = await call('doctor')
  t.match({ code, stderr }, { code: 1, stderr: '' })
  t.match(stdout, /problem {2}keys +the RS256 key [\w-]{43} does not open/)
  t.match(stdout, /problem {2}keys +no key signs ES256/)
  t.match(stdout, /the \w+ key \\u001b\[2J\\n\\" does not open/, 'an odd kid is told, and nothing obeys it')
  t.notMatch(stdout, '\u001b[2J')
})
