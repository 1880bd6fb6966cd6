import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changeIssuer } from '../../db/installation/installation.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { insertUser } from '../../db/users/users.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openInstallation } from '../../src/installation/open.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { openPasswords } from '../../src/users/passwords.ts'
import { commandLine, issuer } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openBrowser } from '../helpers/browser.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { withApp, withPasskey } from '../helpers/second-factors.ts'
import { handClock } from '../helpers/hand-clock.ts'
import {
  besideEnv,
  isOAuthError,
  startedAt,
  startServer,
  testClient,
  type TestServer,
} from '../helpers/server.ts'

t.test(
  'an installation takes a new name: keys and passwords stay, and refresh tokens are made for the new one',
  async t => {
    const cli = commandLine(t)
    await cli.succeed('db migrate')
    const open = (name: string) =>
      openInstallation(loadConfig({ MINTMARK_HOME: cli.home, MINTMARK_ISSUER: name }, '/'), handClock(), {
        mayCreate: false,
      })
    const passwordsOf = ({ rootKeys }: Awaited<ReturnType<typeof open>>) =>
      openPasswords({ rootKeys }).passwords

    const before = await open(issuer)
    const hash = await passwordsOf(before).hash('correct horse')
    const user = {
      id: newUuid(1),
      username: 'ada',
      ...hash,
      roles: '',
      epoch: 0,
      created_at: 1,
      disabled_at: null,
    }
    await insertUser(before.db, user)
    const { rootKeyId, sealed } = before.rootKeys.seal('signing-key', 'kid', Buffer.from('a key'))
    const macBefore = before.rootKeys.macKeyOf(rootKeyId)
    await before.db.close()

    const env = { MINTMARK_ISSUER: 'https://new.example' }
    const refused = await cli.call('client list', { env })
    t.equal(refused.code, 1)
    t.match(
      refused.stderr,
      /belongs to the issuer http:\/\/127\.0\.0\.1:1, but MINTMARK_ISSUER is https:\/\/new\.example/,
    )
    t.equal((await cli.call('db adopt', { env })).code, 2, 'what has happened must be said')
    t.equal((await cli.call('db adopt --moved --copied', { env })).code, 2, 'it cannot be both')
    for (const how of ['--moved', '--copied'])
      t.equal((await cli.call(`db adopt ${how}`, { env })).code, 2, `and agreed to: ${how}`)
    for (const how of ['--moved', '--copied'])
      t.equal((await cli.call(`db adopt ${how} --yes`)).code, 1, `the issuer must be another one: ${how}`)

    const adopted = await cli.succeed('db adopt --moved --yes --json', { env })
    t.strictSame(adopted.json(), {
      from: issuer,
      to: 'https://new.example',
      sessions_revoked: 0,
      passkeys_unusable: [],
    })
    t.equal((await cli.call('client list')).code, 1, 'the old name is refused')

    const after = await open('https://new.example')
    t.teardown(() => after.db.close())
    t.equal(after.rootKeys.open('signing-key', 'kid', rootKeyId, sealed)?.toString(), 'a key')
    t.equal(await passwordsOf(after).verify(user, 'correct horse'), true)
    t.notSame(after.rootKeys.macKeyOf(rootKeyId), macBefore, 'no refresh token of the old name is genuine')
  },
)

await forEachEngine(
  t,
  'a copy becomes an installation of its own: nothing of the original is worth anything there (invariant 7)',
  async (t, env) => {
    const original = await startServer(t, env)
    const kept = 'of-before-and-still-good'
    const web = await original.client('web', {
      old_secret_hash: hashSecret(kept),
      old_secret_expires_at: startedAt + 86_400,
    })
    const app = await original.client('app', { isPublic: true })
    const user = await original.user()
    const sessions = [await original.logIn(web, user), await original.logIn(app, user)]
    const careful = await original.user('careful')
    const authenticator = await withApp(original, careful)
    await withPasskey(original, careful)
    const copyEnv = { ...besideEnv(original), MINTMARK_ISSUER: 'https://staging.example' }
    const kids = (await listSigningKeys(original.ctx.db)).map(({ kid }) => kid)
    const rootKey = original.ctx.rootKeys.currentId

    const { call } = commandLine(t)
    const adopted = await call('db adopt --copied --yes --json', { env: copyEnv })
    t.equal(adopted.code, 0, adopted.stderr)
    t.match(adopted.stderr, /For a copy alone/, 'and says what it is for')
    t.match(adopted.stderr, /1 user has passkeys for as\.example, which cannot be used at/)
    t.match(adopted.json(), {
      from: 'https://as.example',
      to: 'https://staging.example',
      root_key: { from: rootKey },
      sessions_revoked: 2,
      passwords_kept: 2,
      passwords_lost: 0,
      totps_kept: 1,
      totps_lost: 0,
      passkeys_unusable: [{ rp_id: 'as.example', users: 1 }],
      clients: [{ client_id: 'web', client_secret: /^mm_cs_/ }],
    })

    const copy = await startServer(t, copyEnv)
    const rows = await listSigningKeys(copy.ctx.db)
    t.ok(
      rows.length > 0 && !rows.some(({ kid }) => kids.includes(kid)),
      'no key of the original is left in it',
    )
    t.not(copy.ctx.rootKeys.currentId, rootKey)
    const browser = openBrowser(copy)
    const half = await logInWith(browser, (await relyingParty(copy, 'party')).begin(), careful)
    t.match(half.response.body, 'one-time-code')
    // The code of the set-up was one of this minute.
    copy.tick(60)
    const done = await browser.submit(half, { code: authenticator.code() })
    t.match(done.url.href, /[?&]code=/, 'and so is its authenticator app')
    const [{ client_secret }] = adopted.json().clients
    const renewed = testClient('web', client_secret)
    for (const { form } of [web, testClient('web', kept)]) {
      const refused = await copy.post('/introspect', { token: 'x', ...form })
      isOAuthError(t, refused, 401, 'invalid_client', 'a secret of the original')
    }
    t.equal(
      await changeIssuer(copy.ctx.db, { from: 'https://as.example', to: 'https://other.example', now: 1 }),
      undefined,
      'only once',
    )
    for (const { access_token } of sessions)
      t.strictSame(await copy.introspect(renewed, access_token), { active: false })
    for (const [i, client] of [renewed, app].entries()) {
      const { refresh_token = '' } = sessions[i] ?? {}
      const answer = await copy.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })
      isOAuthError(t, answer, 400, 'invalid_grant', `the refresh token of ${client.id}`)
    }
    const again = await copy.logIn(app, user)
    t.match(
      await copy.refresh(app, again.refresh_token),
      { token_type: 'Bearer' },
      'its users and public clients are there',
    )
    const audit = (await call('audit list --json', { env: copyEnv })).json()
    t.match(
      audit.filter(({ event }: { event: string }) => event === 'issuer_changed'),
      [{ detail: { copied: true, root_key_from: rootKey } }],
      'the audit trail tells of it',
    )
  },
)

t.test('a copy needs no root key of the original: without it, users get new passwords', async t => {
  const original = await startServer(t)
  const app = await original.client('app', { isPublic: true })
  const user = await original.user()
  const rootKeyFile = join(t.testdir(), 'staging.key')
  const env = {
    ...besideEnv(original),
    MINTMARK_ROOT_KEY_FILE: rootKeyFile,
    MINTMARK_ISSUER: 'https://staging.example',
  }
  const { call } = commandLine(t)
  const adopted = await call('db adopt --copied --yes', { env })
  t.equal(adopted.code, 0, adopted.stderr)
  t.match(adopted.stdout, /^1 user cannot log in before `mintmark user passwd NAME`/m)
  t.notMatch(adopted.stdout, /New client secrets/, 'no client has one')
  const originalKey = readFileSync(original.ctx.config.rootKeyFile, 'utf8').trim()
  t.notMatch(
    readFileSync(rootKeyFile, 'utf8'),
    originalKey,
    'the root key of the original has not come along',
  )

  const copy = await startServer(t, env)
  const form = { grant_type: 'password', username: user.username, password: user.password, ...app.form }
  t.not((await copy.post('/token', form)).statusCode, 200, 'its passwords are not checked')
  const password = 'a new password of hers'
  t.equal((await call(`user passwd ${user.username} --password-stdin`, { env, input: password })).code, 0)
  t.equal((await copy.post('/token', { ...form, password })).statusCode, 200)
})

await forEachEngine(
  t,
  'what has ended with a name does not live again when an installation gets it back',
  async (t, env) => {
    const one = await startServer(t, env)
    const web = await one.client('web')
    const session = await one.logIn(web, await one.user())
    const { access_token } = await one
      .post('/token', { grant_type: 'client_credentials', ...web.form })
      .then(answer => answer.json())
    const cli = commandLine(t)
    const move = (to: string) =>
      cli.call('db adopt --moved --yes --json', { env: { ...besideEnv(one), MINTMARK_ISSUER: to } })
    t.match((await move('https://new.example')).json(), { sessions_revoked: 2 })
    const there = await startServer(t, { ...besideEnv(one), MINTMARK_ISSUER: 'https://new.example' })
    const refused = (server: TestServer, token: string, title: string) =>
      server
        .post('/token', { grant_type: 'refresh_token', refresh_token: token, ...web.form })
        .then(answer => isOAuthError(t, answer, 400, 'invalid_grant', title))
    await refused(there, session.refresh_token, 'one of the old name')
    const meanwhile = await there.logIn(web, { ...(await there.user('bob')) })

    const back = await move(one.ctx.config.issuer)
    t.match(back.json(), { sessions_revoked: 1 })
    t.match(back.stderr, /"event":"client_revoked","client_id":"web","epoch":\d+,.*"reason":"issuer changed"/)
    const again = await startServer(t, besideEnv(one))
    await refused(again, session.refresh_token, 'one of the same name as before')
    await refused(again, meanwhile.refresh_token, 'one of the name between')
    for (const token of [session.access_token, session.refresh_token, access_token, meanwhile.access_token])
      t.strictSame(await again.introspect(web, token), { active: false })
    t.ok(await again.logIn(web, await again.user('carol')), 'and it goes on from there')
  },
)
