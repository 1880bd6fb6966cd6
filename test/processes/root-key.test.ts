import { createHmac, randomBytes } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import type { KyselyPlugin } from 'kysely'
import t from 'tap'
import { findInstallation } from '../../db/installation/installation.ts'
import { changeRootKey, findRootKeyUse, listRootKeys } from '../../db/keys/root-keys.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { findUser } from '../../db/users/users.ts'
import { systemClock } from '../../src/clock.ts'
import { endAllWithKeys } from '../../src/endings/restart.ts'
import { revokeKey } from '../../src/keys/ring/emergency.ts'
import { openKeyRing } from '../../src/keys/ring/key-ring.ts'
import { addRootKey, makeRootKeyFile, readRootKeyFile } from '../../src/keys/root/root-key-file.ts'
import { readRootKeys } from '../../src/keys/root/root-key.ts'
import { replacementRootKey, rotateRootKey } from '../../src/keys/root/root-rotation.ts'
import { openRefreshToken, sealRefreshToken } from '../../src/protocol/refresh-token.ts'
import { hmacSha256 } from '../../src/values/sha256.ts'
import { byCommand } from '../helpers/by-command.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine, postgresEnv } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

const issuer = 'https://as.example'
const newKeyText = () => randomBytes(32).toString('base64url')

t.test('the MAC of a refresh token is HMAC-SHA-256, as everybody else has it', async t => {
  const bytes = (range: { minLength?: number; maxLength: number }) =>
    fc.uint8Array(range).map(array => Buffer.from(array))
  fc.assert(
    fc.property(bytes({ minLength: 1, maxLength: 64 }), bytes({ maxLength: 300 }), (secret, message) => {
      const mac = createHmac('sha256', secret).update(message).digest()
      // The second time from what it has kept of the key.
      return hmacSha256(secret, message).equals(mac) && hmacSha256(secret, message).equals(mac)
    }),
  )
  t.throws(() => hmacSha256(randomBytes(65), ''), /longer than a block/)
})

t.test('a root key file is made once, whole, and for this user alone', async t => {
  const file = join(t.testdir(), 'a/b/root.key')
  const made = await Promise.all(Array.from({ length: 10 }, async () => makeRootKeyFile(file)))
  t.equal(made.filter(Boolean).length, 1)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(file, '..')).mode & 0o777, 0o700)
  const [id] = [...readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: false }).keys()]
  t.match(readFileSync(file, 'utf8'), new RegExp(`^# root key ${id}\n[\\w-]{43}\n$`))

  chmodSync(file, 0o400)
  const added = addRootKey(file)
  const ids = [...readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: false }).keys()]
  t.strictSame(ids, [added, id], 'another one is put before it')
  t.equal(statSync(file).mode & 0o777, 0o400, 'and the mode is kept')
  t.strictSame(readdirSync(join(file, '..')), ['root.key'], 'no draft is left behind')
})

/** As a user who may do only what the modes allow. */
function asNobody<T>(work: () => T): T {
  const nobody = 65_534
  const [getId, setId] = [process.geteuid, process.seteuid]
  if (getId?.() !== 0 || !setId) return work()
  setId(nobody)
  try {
    return work()
  } finally {
    setId(0)
  }
}

t.test('a file that cannot be replaced is left as it is', async t => {
  const mount = mkdtempSync(join(tmpdir(), 'mintmark-'))
  t.teardown(() => rmSync(mount, { recursive: true }))
  const file = join(mount, 'root.key')
  const text = `${newKeyText()}\n`
  writeFileSync(file, text, { mode: 0o444 })
  chmodSync(mount, 0o555)
  t.equal(
    asNobody(() => addRootKey(file)),
    undefined,
  )
  const mounted = { rootKeyFile: file, rootKeyIsMounted: true }
  const keys = readRootKeys({ ...mounted, issuer })
  const choose = replacementRootKey(mounted, keys.draft)
  const [current = ''] = readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: true }).keys()
  t.ok(keys.has(choose(current, new Set())), 'another one is known while it is in no file')
  t.throws(() => asNobody(() => keys.keepDrafts()), {
    name: 'ConfigError',
    message:
      /cannot be written, as is usual for a secret that is mounted\. Where it comes from, put a new key on the first line/,
  })
  t.equal(choose('another', new Set()), current, 'one that is new to the database is taken up')
  t.equal(readFileSync(file, 'utf8'), text)
  chmodSync(mount, 0o755)
  t.strictSame(readdirSync(mount), ['root.key'])
})

t.test('what a root key file may hold', async t => {
  const file = join(t.testdir({}), 'root.key')
  const [a, b] = [newKeyText(), newKeyText()]
  const read = (text: string, rootKeyIsMounted = false) => {
    writeFileSync(file, text, { mode: 0o600 })
    return readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted })
  }
  for (const text of [
    `${a}\n${b}`,
    `# a\r\n\r\n${a}\r\n  ${b}  \r\n`,
    `\n${a}\n#${newKeyText()}\n${b}\n${a}\n`,
  ]) {
    t.strictSame(
      [...read(text).values()].map(key => key.toString('base64url')),
      [a, b],
    )
  }
  for (const [title, text, message] of [
    ['nothing', '', /there is no root key in .*root\.key: put the file back from your backup/],
    ['comments only', '# x\n', /there is no root key in/],
    ['a key cut short', `${a}\n${b.slice(0, -1)}`, /line 2 of .* is not a root key, which is 43 characters/],
    ['plain base64', `${Buffer.alloc(32, 255).toString('base64')}`, /line 1 of .* is not a root key/],
    ['another spelling of the last character', `${a.slice(0, -1)}_`, /line 1 of/],
    ['a password', 'hunter2', /line 1 of/],
  ] as const) {
    t.throws(() => read(text), { name: 'ConfigError', message }, title)
    const shown = (() => {
      try {
        read(text)
      } catch (error) {
        return String(error)
      }
      return ''
    })()
    t.notOk(
      text !== '' && text.split('\n').some(line => line.length > 5 && shown.includes(line)),
      `${title}: no key is shown`,
    )
  }
  chmodSync(file, 0o640)
  t.throws(() => readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: false }), {
    message: /can be read by other users, and may have been: `chmod 600 .*rotate-root/,
  })
  writeFileSync(file, a)
  t.equal(
    readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: true }).size,
    1,
    'a mounted one is not ours to judge',
  )
})

t.test('what is sealed opens for its purpose, name, issuer and root key alone', async t => {
  const file = join(t.testdir({}), 'root.key')
  makeRootKeyFile(file)
  const options = { rootKeyFile: file, rootKeyIsMounted: false, issuer }
  const keys = readRootKeys(options)
  const { rootKeyId, sealed } = keys.seal('purpose', 'name', Buffer.from('secret'))
  const text = (opened: Buffer | undefined) => opened?.toString()
  t.equal(text(keys.open('purpose', 'name', rootKeyId, sealed)), 'secret')
  t.equal(keys.open('purpose', 'other', rootKeyId, sealed), undefined)
  t.equal(keys.open('other', 'name', rootKeyId, sealed), undefined)
  t.equal(
    readRootKeys({ ...options, issuer: 'https://b.example' }).open('purpose', 'name', rootKeyId, sealed),
    undefined,
  )
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed)
    changed.writeUInt8(changed.readUInt8(i) ^ 1, i)
    t.equal(keys.open('purpose', 'name', rootKeyId, changed), undefined)
  }
  t.equal(keys.open('purpose', 'name', rootKeyId, sealed.subarray(0, 20)), undefined)
  t.equal(keys.open('purpose', 'name', '00000000', sealed), undefined)
  t.notOk(sealed.equals(keys.seal('purpose', 'name', Buffer.from('secret')).sealed), 'never the same twice')

  const derived = ['refresh-token', 'pepper', 'signing-key'].map(purpose =>
    keys.derive(purpose, rootKeyId)?.toString('hex'),
  )
  t.equal(new Set(derived).size, 3, 'each purpose has its own key')
  addRootKey(file)
  const later = readRootKeys(options)
  t.not(later.currentId, rootKeyId)
  later.follow(rootKeyId)
  t.equal(later.currentId, rootKeyId, 'which key is the current one, the database says')
  t.equal(
    text(later.open('purpose', 'name', rootKeyId, sealed)),
    'secret',
    'an older key opens what it has sealed',
  )
})

/** Rotates as the command does. */
const rotate = ({ ctx }: TestServer) => {
  const { config } = ctx
  return rotateRootKey({ by: byCommand(ctx), rootKeys: readRootKeys(config), file: config })
}

const rootKeyOf = ({ ctx }: TestServer, token: string) => {
  const opened = openRefreshToken(ctx.rootKeys.macKeyOf, token)
  return opened.kind === 'genuine' ? opened.token.rootKeyId : opened.kind
}

await forEachEngine(t, 'the root key is rotated while servers run, and nobody notices', async (t, env) => {
  const one = await startServer(t, env)
  const two = await startServer(t, besideEnv(one))
  const { ctx } = one
  const [web, reuser] = [
    await one.client('web', { isPublic: true }),
    await one.client('reuser', { refresh_policy: 'reuse' }),
  ]
  const [ada, bob] = [await one.user('ada'), await one.user('bob')]
  const session = await one.logIn(web, ada)
  const idle = await one.logIn(web, bob)
  const reused = await one.logIn(reuser, bob)
  const jwks = await one.request({ url: '/.well-known/jwks.json' })
  const before = ctx.rootKeys.currentId

  const { from, to, wasInFile, resealed } = await rotate(one)
  t.strictSame([from, wasInFile, resealed], [before, false, 4])
  t.ok(
    (await listSigningKeys(ctx.db)).every(key => key.root_key_id === to),
    'everything is sealed anew',
  )
  t.match(await listRootKeys(ctx.db), [
    { id: from, current_until: ctx.clock.now() },
    { id: to, current_until: null },
  ])

  await one.follow()
  t.equal(ctx.rootKeys.currentId, to, 'a running server follows')
  const moved = await one.refresh(web, session.refresh_token)
  t.equal(rootKeyOf(one, moved.refresh_token), to, 'a refresh token moves on when it is used')
  t.equal(two.ctx.rootKeys.currentId, from, 'one that has not heard of it')
  const further = await two.refresh(web, moved.refresh_token)
  t.ok(further.refresh_token, 'takes the new ones')
  await two.follow()
  t.equal(
    (await two.request({ url: '/.well-known/jwks.json' })).headers['etag'],
    jwks.headers['etag'],
    'the key set is the same',
  )

  const use = () => findRootKeyUse(ctx.db, { id: from, until: ctx.clock.now(), now: ctx.clock.now() })
  t.match(await use(), { users: 2, signingKeys: 0 })
  await one.logIn(web, ada)
  t.equal((await findUser(ctx.db, 'ada'))?.root_key_id, to, 'a password is hashed anew at a log-in')
  await one.logIn(web, ada)
  t.ok(await one.refresh(web, idle.refresh_token), 'the older key still serves')
  t.equal((await one.refresh(reuser, reused.refresh_token)).refresh_token.length, reused.refresh_token.length)
})

t.test('an older root key may go when no password and no living session needs it', async t => {
  const server = await startServer(t)
  const { ctx } = server
  const web = await server.client('web', { isPublic: true })
  const reuser = await server.client('reuser', { refresh_policy: 'reuse' })
  const strict = await server.client('strict', { refresh_policy: 'strict', refresh_absolute_seconds: 5000 })
  const [ada, bob] = [await server.user('ada'), await server.user('bob')]
  const sessions = [await server.logIn(web, ada), await server.logIn(web, bob)]
  const reused = await server.logIn(reuser, bob)
  await server.logIn(strict, bob)
  const revoked = await server.logIn(web, bob)
  await server.revoke(web, revoked.refresh_token)
  server.tick(100)
  const until = ctx.clock.now()
  const { from } = await rotate(server)
  await server.follow()
  const use = () => findRootKeyUse(ctx.db, { id: from, until, now: ctx.clock.now() })
  t.match(await use(), { users: 2, sessions: 4, signingKeys: 0 })
  server.tick(61)
  await server.logIn(web, ada)
  await server.logIn(web, bob)
  t.match(await use(), { users: 0, sessions: 4 }, 'new sessions do not count')
  for (const { refresh_token } of sessions) await server.refresh(web, refresh_token)
  t.match(await use(), { sessions: 2 }, 'nor do those that have moved on')
  await server.refresh(reuser, reused.refresh_token)
  t.match(await use(), { sessions: 2 }, 'a token that is reused does not move on')
  server.tick(5000)
  t.match(await use(), { sessions: 1 }, 'what has expired needs no key')
  await server.revoke(reuser, reused.refresh_token)
  t.match(await use(), { users: 0, sessions: 0, sessionsEndAt: null, signingKeys: 0 })
  t.equal(
    (await changeRootKey(ctx.db, ctx.clock.now(), id => id)).from,
    ctx.rootKeys.currentId,
    'and nothing else has changed',
  )
})

t.test(
  'a server whose file does not have the new root key yet goes on, and takes it up when it has',
  async t => {
    const one = await startServer(t)
    const ownFile = join(t.testdir({}), 'root.key')
    cpSync(one.ctx.config.rootKeyFile, ownFile)
    const far = await startServer(t, { ...besideEnv(one), MINTMARK_ROOT_KEY_FILE: ownFile })
    const web = await one.client('web', { isPublic: true })
    const job = await one.client('job')
    const ada = await one.user('ada')
    await runJob(far, 'following the registry')
    await rotate(one)
    await one.follow()

    // Before the other one has heard of it.
    const early = await one.logIn(web, ada)
    for (const [path, form] of [
      ['/token', { grant_type: 'refresh_token', refresh_token: early.refresh_token }],
      ['/revoke', { token: early.refresh_token }],
      ['/introspect', { token: early.refresh_token }],
    ] as const) {
      const caller = path === '/introspect' ? job : web
      const title = `${path}: invariant 1, a token of a root key that was taken up just now`
      isOAuthError(
        t,
        await far.post(path, { ...form, ...caller.form }),
        503,
        'temporarily_unavailable',
        title,
      )
    }
    await far.follow()

    const here = await one.logIn(web, ada)
    isOAuthError(
      t,
      await far.post('/token', {
        grant_type: 'refresh_token',
        refresh_token: here.refresh_token,
        ...web.form,
      }),
      503,
      'temporarily_unavailable',
      'a token of a root key that is not known yet',
    )
    isOAuthError(
      t,
      await far.post('/revoke', { token: here.refresh_token, ...web.form }),
      503,
      'temporarily_unavailable',
      'likewise',
    )
    isOAuthError(
      t,
      await far.request({ url: '/health/ready' }),
      503,
      'temporarily_unavailable',
      'it is not ready meanwhile',
    )
    t.equal((await one.request({ url: '/health/ready' })).statusCode, 200, 'as the other one is')
    t.match(
      far.log.filter(line => line['event'] === 'root_key_missing'),
      [{ level: 50, msg: /copy the file from a machine where it is/ }],
      'the log says it once',
    )
    await far.follow()
    t.equal(far.log.filter(line => line['event'] === 'root_key_missing').length, 1)
    const jwks = '/.well-known/jwks.json'
    t.equal(
      (await far.request({ url: jwks })).body,
      (await one.request({ url: jwks })).body,
      'it has its signing keys',
    )
    const there = await one.refresh(web, here.refresh_token)
    t.ok(there)
    const next = (await listSigningKeys(one.ctx.db)).find(row => row.activated_at === null)?.kid ?? ''
    const { db, rootKeys } = one.ctx
    await revokeKey({ by: byCommand(one.ctx), rootKeys, reason: 'replaced' }, next)
    for (const server of [one, far]) await server.follow()
    t.strictSame(
      [...new Set((await listSigningKeys(db)).map(row => row.root_key_id))],
      [one.ctx.rootKeys.currentId],
      'it seals nothing under the root key of before',
    )
    t.not((await far.request({ url: jwks })).body, (await one.request({ url: jwks })).body, 'but no new one')

    cpSync(one.ctx.config.rootKeyFile, ownFile)
    t.ok(await far.refresh(web, there.refresh_token), 'with the new file it knows the token at once')
    t.equal((await far.request({ url: '/health/ready' })).statusCode, 200, 'and is ready')
    await db.sql.schema.alterTable('signing_keys').renameTo('elsewhere').execute()
    await t.rejects(runJob(far, 'following the key ring'), 'the keys cannot be read just then')
    await db.sql.schema.alterTable('elsewhere').renameTo('signing_keys').execute()
    await far.follow()
    t.equal(far.ctx.rootKeys.currentId, one.ctx.rootKeys.currentId)
    t.equal(
      (await far.request({ url: jwks })).body,
      (await one.request({ url: jwks })).body,
      'and opens the new key',
    )
  },
)

await forEachEngine(
  t,
  'a refresh token under a root key that is gone for good, or that never was, ends in a log-in',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx, log } = server
    const { rootKeyFile } = ctx.config
    const web = await server.client('web', { isPublic: true })
    const ada = await server.user('ada')
    const past = await server.logIn(web, ada)
    const madeUp = () =>
      sealRefreshToken(() => randomBytes(32), {
        rootKeyId: randomBytes(4).toString('hex'),
        sessionId: randomBytes(16),
        generation: 7,
        secret: randomBytes(16),
        boundTo: null,
      })
    /** Leaves the first key alone. */
    const forgetOlder = () => {
      const [comment, key] = readFileSync(rootKeyFile, 'utf8').split('\n')
      writeFileSync(rootKeyFile, `${comment}\n${key}\n`)
    }
    const ask = async (token: string, title: string) => {
      for (const [path, form] of [
        ['/token', { grant_type: 'refresh_token', refresh_token: token }],
        ['/revoke', { token }],
      ] as const) {
        const response = await server.post(path, { ...form, ...web.form })
        if (path === '/token') isOAuthError(t, response, 400, 'invalid_grant', title)
        else t.equal(response.statusCode, 200, `${title}: there is nothing to revoke`)
      }
    }
    await ask(madeUp(), 'one that a stranger has made up')

    await rotate(server)
    await server.follow()
    const kept = await server.logIn(web, ada)
    forgetOlder()
    await server.follow()
    await ask(past.refresh_token, 'one under a key whose line was deleted')

    // The root key is lost; a server that starts with the new one knows nothing else.
    writeFileSync(rootKeyFile, `${newKeyText()}\n`, { mode: 0o600 })
    const lost = await startServer(t, besideEnv(server)).then(
      () => 'it starts',
      error => String(error),
    )
    t.match(lost, /is not the one that this database was made with/)
    await endAllWithKeys({
      by: byCommand(ctx),
      rootKeys: readRootKeys(ctx.config),
      file: ctx.config,
      reason: 'lost',
      keepsRootKey: false,
      algs: ['ES256'],
    })
    const renewed = await startServer(t, besideEnv(server))
    const response = await renewed.post('/token', {
      grant_type: 'refresh_token',
      refresh_token: kept.refresh_token,
      ...web.form,
    })
    isOAuthError(t, response, 400, 'invalid_grant', 'one under a key that is lost')
    const errors = [...log, ...renewed.log].filter(line => Number(line['level']) >= 50)
    t.strictSame(
      errors.map(({ msg }) => msg),
      [],
      'none of this is an error of the server',
    )

    server.tick(11)
    const unsure = await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token: madeUp(),
      ...web.form,
    })
    isOAuthError(
      t,
      unsure,
      503,
      'temporarily_unavailable',
      'a server that has not heard of the database cannot tell',
    )
  },
)

t.test(
  'invariant 8: however many tokens of unknown root keys are made up, the database is asked as seldom',
  async t => {
    const { ctx } = await startServer(t)
    let looks = 0
    const counting: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        looks++
        return result
      },
    }
    const db = { ...ctx.db, sql: ctx.db.sql.withPlugin(counting) }
    const { keys } = await openKeyRing({ ...ctx, db, clock: { ...ctx.clock, pause: systemClock().pause } })
    looks = 0
    const many = await Promise.allSettled(Array.from({ length: 500 }, () => keys.readRootKeyId()))
    t.equal(looks, 1, 'whoever asks at once shares a look')
    const told = many.filter(one => one.status === 'fulfilled')
    t.strictSame(new Set(told.map(({ value }) => value)), new Set([ctx.rootKeys.currentId]))
    t.equal(told.length, 100, 'in a flood only so many wait')
    t.match(
      many.filter(one => one.status === 'rejected').map(({ reason }) => reason.status),
      Array(400).fill(503),
      'and the others may come again',
    )
    const first = keys.readRootKeyId()
    await setImmediate()
    const other = addRootKey(ctx.config.rootKeyFile) ?? ''
    await changeRootKey(ctx.db, ctx.clock.now(), () => other)
    t.ok(await first)
    t.equal(await keys.readRootKeyId(), other, 'and nobody gets what was read before he asked')
    t.equal(looks, 3)
  },
)

t.test('a rotation of the root key that was interrupted is finished by a server, once', async t => {
  const server = await startServer(t)
  const { db, config } = server.ctx
  const { now } = server.ctx.clock
  const id = addRootKey(config.rootKeyFile) ?? ''
  const { from } = await changeRootKey(db, now(), () => id)
  await server.follow()
  const under = async () => new Set((await listSigningKeys(db)).map(row => row.root_key_id))
  t.strictSame([...(await under())], [id])
  const revision = async () => (await findInstallation(db))?.revision
  // Hears of what it has done itself.
  await server.follow()
  const before = await revision()
  await server.follow()
  t.equal(await revision(), before, 'nothing is sealed again')

  const { rootKeyFile } = config
  const lines = readFileSync(rootKeyFile, 'utf8').split('\n')
  const [first = '', second = ''] = lines.filter(line => /^[\w-]{43}$/.test(line))
  writeFileSync(rootKeyFile, `${second}\n${first}\n`, { mode: 0o600 })
  t.strictSame([...readRootKeyFile(config).keys()], [from, id])
  const again = await rotate(server)
  t.notOk([from, id].includes(again.to), 'a root key of the past is never taken up again')
  const open = readRootKeys(config)
  writeFileSync(rootKeyFile, `${newKeyText()}\n`, { mode: 0o600 })
  await t.rejects(
    rotateRootKey({ by: byCommand(server.ctx), rootKeys: open, file: config }),
    { message: /lacks the current key/ },
    'nor is the current one left behind',
  )
})

t.test('a root key file that is damaged while a server runs changes nothing but the log', async t => {
  const server = await startServer(t)
  const { ctx, log } = server
  const { rootKeyFile } = ctx.config
  const web = await server.client('web', { isPublic: true })
  const session = await server.logIn(web, await server.user('ada'))
  const text = readFileSync(rootKeyFile, 'utf8')
  const told = () => log.filter(line => line['event'] === 'root_key_file').length
  let expected = 0
  for (const [title, damage] of [
    ['it is gone', () => rmSync(rootKeyFile)],
    ['it is empty', () => writeFileSync(rootKeyFile, '', { mode: 0o600 })],
    ['others can read it', () => (writeFileSync(rootKeyFile, text), chmodSync(rootKeyFile, 0o644))],
    ['it has another key', () => (chmodSync(rootKeyFile, 0o600), writeFileSync(rootKeyFile, newKeyText()))],
  ] as const) {
    damage()
    await server.follow()
    await server.follow()
    t.equal(told(), ++expected, `${title}: the log says so once`)
    t.ok(await server.logIn(web, await server.user(title)), `${title}: and all goes on`)
  }
  writeFileSync(rootKeyFile, text)
  await server.follow()
  t.equal(log.filter(line => line['event'] === 'root_key_file').at(-1)?.['level'], 30)
  t.ok(await server.refresh(web, session.refresh_token))
})

t.test('the command line rotates a root key, or takes up one that was put into a mounted file', async t => {
  const { home, run, call, serve } = commandLine(t)
  const file = join(home, 'keys/root.key')
  t.match(await call('key new-root'), { code: 0, stdout: /Made a root key/ })
  t.match(await call('key new-root'), {
    code: 1,
    stderr: /never overwritten: `mintmark key rotate-root` adds one/,
  })
  const server = await serve()
  const [first = ''] = [...readRootKeyFile({ rootKeyFile: file, rootKeyIsMounted: false }).keys()]
  const rotated = (await call('key rotate-root --json')).json()
  t.match(rotated, { from: first, to: /^[0-9a-f]{8}$/, file })
  await call('user create alice --password-stdin', { input: 'correct horse' })
  t.match((await call('doctor')).stdout, new RegExp(`root key +the root key ${first} is not needed any more`))

  // Mounted: a directory that is read-only for all.
  const mount = join(home, 'secrets')
  mkdirSync(mount)
  const mounted = join(mount, 'root.key')
  writeFileSync(mounted, readFileSync(file))
  chmodSync(mounted, 0o444)
  const env = { MINTMARK_ROOT_KEY_FILE: mounted }
  t.match(
    (await call('doctor', { env })).stdout,
    /warning +files +others can read the root key/,
    'and is only warned about',
  )
  chmodSync(mounted, 0o644)
  const text = readFileSync(mounted, 'utf8')
  writeFileSync(mounted, `${newKeyText()}\n`)
  t.match(await run('key rotate-root', { env }), {
    code: 1,
    stderr: /is not the one that this database was made with/,
  })
  writeFileSync(mounted, `${newKeyText()}\n${text}`)
  t.match((await call('doctor', { env })).stdout, /begins with the root key \w+, but the database is under/)
  t.match(await call('key rotate-root', { env }), { code: 0, stdout: /which was on the first line/ })
  t.match(await call('doctor', { env }), {
    code: 0,
    stdout: /the older root key \w+ is needed by 1 password, until the users log in/,
  })
  t.match(
    (await call('doctor')).stdout,
    /is under another root key by now \(\w+\), which .*root\.key lacks: copy the file from the machine where/,
    'another file is of no use now',
  )
  t.equal(server.process.exitCode, null, 'the server with the old file still runs')
})

t.test(
  'on PostgreSQL, where machines have a file each, a rotation takes two steps and stops nobody',
  async t => {
    const one = await startServer(t, await postgresEnv())
    const here = one.ctx.config.rootKeyFile
    const folder = t.testdir({})
    const there = join(folder, 'root.key')
    const copied = () => cpSync(here, there)
    copied()
    const two = await startServer(t, { ...besideEnv(one), MINTMARK_ROOT_KEY_FILE: there })
    const web = await one.client('web', { isPublic: true })
    const ada = await one.user('ada')
    const session = await one.logIn(web, ada)
    const { call } = commandLine(t, join(folder, 'home'))
    const run = (args: string, env = besideEnv(one)) =>
      call(args, { env: { ...env, MINTMARK_ISSUER: one.ctx.config.issuer } })
    const follow = async () => {
      for (const server of [one, two]) await server.follow()
    }
    const isReady = async (server: TestServer) =>
      (await server.request({ url: '/health/ready' })).statusCode === 200
    const before = one.ctx.rootKeys.currentId

    const first = await run('key rotate-root')
    t.match(first, {
      code: 0,
      stdout: /^Step 1 of 2: .*Nothing uses it yet\.[^]*copy the file to every machine/,
    })
    const [added = ''] = readRootKeyFile(one.ctx.config).keys()
    await follow()
    t.strictSame([one.ctx.rootKeys.currentId, two.ctx.rootKeys.currentId], [before, before])
    t.match(await run('key rotate-root'), {
      code: 2,
      stderr: new RegExp(`Take up the root key ${added}\\?.*--yes`),
    })
    t.strictSame(
      [...readRootKeyFile(one.ctx.config).keys()],
      [added, before],
      'a second run adds no second key',
    )

    copied()
    t.match((await run('key rotate-root --yes --json')).json(), { from: before, to: added })
    await follow()
    t.strictSame([one.ctx.rootKeys.currentId, two.ctx.rootKeys.currentId], [added, added])
    t.ok((await isReady(one)) && (await isReady(two)), 'all are ready')
    const moved = await one.refresh(web, session.refresh_token)
    t.ok(await two.refresh(web, moved.refresh_token), 'and know the tokens of each other')

    // A machine that was forgotten all the same.
    t.match((await run('key rotate-root --json')).json(), { added: String, current: added })
    t.equal((await run('key rotate-root --yes')).code, 0)
    await follow()
    t.strictSame([await isReady(one), await isReady(two)], [true, false])
    const behind = { ...besideEnv(one), MINTMARK_ROOT_KEY_FILE: there }
    const refused = await run('client list', behind)
    t.match(refused, {
      code: 1,
      stderr: /lacks: copy the file from the machine where `mintmark key rotate-root` was run/,
    })
    t.notMatch(refused.stderr, /revoke/, 'and nobody is told to end everything')
    copied()
    t.ok(await isReady(two), 'the file is all that it needs')
    t.equal((await run('client list', behind)).code, 0)
  },
)
