import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readRootKeys } from '../../src/keys/root/root-key.ts'
import { openSignInCookie, sealSignInCookie } from '../../src/protocol/sign-in-cookie.ts'
import { openRefreshToken, sealRefreshToken } from '../../src/protocol/refresh-token.ts'
import { openBrowser } from '../helpers/browser.ts'
import { codeFor, forLogIns, signIn } from '../helpers/codes.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startServer } from '../helpers/server.ts'

const root = join(import.meta.dirname, '../..')

/** Of tests, in whatever way they are begun and quoted. */
function titles(): ReadonlySet<string> {
  const found = new Set<string>()
  for (const file of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.test.ts')) continue
    const text = readFileSync(join(root, 'test', file), 'utf8')
    for (const [, , title = ''] of text.matchAll(
      /\b(?:t\.test|forEachEngine)\(\s*(?:t,\s*)?(['"`])((?:\\.|(?!\1).)*)\1/g,
    )) {
      found.add(title.replaceAll('\\u00a7', '§').replace(/\\(.)/g, '$1'))
    }
  }
  return found
}

t.test('SECURITY.md names a test for each of its statements, and each of them is there', async t => {
  const text = readFileSync(join(root, 'SECURITY.md'), 'utf8')
  const model = text.slice(text.indexOf('### '), text.indexOf('## What is not covered'))
  const statements = model.split(/^- /m).slice(1)
  t.ok(statements.length > 25, 'they are found')
  const known = titles()
  for (const statement of statements) {
    const [claim = ''] = statement.split('\n')
    const named = [...statement.matchAll(/^ {2}- test: (.+)$/gm)].map(([, title = '']) => title)
    t.ok(named.length > 0, `${claim}: names a test`)
    for (const title of named) t.ok(known.has(title), `there is a test: ${title}`)
  }
})

t.test('docs/fapi.md names a test for each clause, and each of them is there', async t => {
  const rows = readFileSync(join(root, 'docs/fapi.md'), 'utf8').match(/^\| 5\..*$/gm) ?? []
  t.ok(rows.length > 30, 'they are found')
  const known = titles()
  for (const row of rows) {
    const [clause = '', , , tests = ''] = row.slice(2, -2).split(' | ')
    for (const title of tests.split('<br>'))
      t.ok(known.has(title) || title === "the proxy's own", `${clause}: there is a test: ${title}`)
  }
})

t.test('invariant 7: a copy of the database holds nothing that lets somebody in', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  const answer = await server.logIn(client, user)
  const { access_token, refresh_token } = await server.refresh(client, answer.refresh_token)
  const web = await relyingParty(server, 'shop')
  const browser = openBrowser(server)
  const begun = web.begin()
  const back = await logInWith(browser, begun, user)
  const code = back.url.searchParams.get('code') ?? ''
  const { id_token } = await web.redeem(begun, back)
  const cookie = (name: string) => browser.cookies.get(`__Host-mintmark${name}`)?.value ?? ''
  const signIn = openSignInCookie(server.ctx.rootKeys.signInKeyOf, cookie(''))
  if (signIn.kind !== 'genuine') throw new Error('unreachable: it was set just now')
  await server.post('/token', {
    grant_type: 'password',
    username: 'typed-here',
    password: 'x',
    ...client.form,
  })
  await runJob(server, 'sharing the counts of wrong guesses')
  await runJob(server, 'writing the audit trail')
  const { databaseUrl, rootKeyFile } = server.ctx.config
  if (databaseUrl.engine !== 'sqlite') throw new Error('unreachable: it is embedded')
  const bytes = Buffer.concat(['', '-wal'].map(suffix => readFileSync(`${databaseUrl.file}${suffix}`)))
  t.ok(bytes.includes(user.username), 'what is in it is found')
  const opened = openRefreshToken(server.ctx.rootKeys.macKeyOf, refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable: it was handed out just now')
  const rootKey =
    readFileSync(rootKeyFile, 'utf8')
      .split('\n')
      .find(line => /^[\w-]{43}$/.test(line)) ?? ''
  const secrets: [title: string, secret: string | Buffer][] = [
    ['the password', user.password],
    ['a name that was tried', 'typed-here'],
    ['the client secret', client.secret ?? ''],
    ['the access token', access_token],
    ['its signature', access_token.split('.')[2] ?? ''],
    ['the refresh token', refresh_token],
    ['the secret of the session', opened.token.secret],
    ['the cookie of the sign-in', cookie('')],
    ['the secret of the sign-in', signIn.cookie.secret],
    ['the device token', cookie('-device')],
    ['the cookie that binds requests', cookie('-browser')],
    ['the code', code],
    ['the verifier', begun.verifier],
    ['the ID token', id_token],
    ['the root key', rootKey],
    ['the root key as bytes', Buffer.from(rootKey, 'base64url')],
  ]
  for (const [title, secret] of secrets) {
    t.ok(secret.length > 9, title)
    t.notOk(bytes.includes(secret), `${title} is not in it`)
  }
})

t.test('invariant 7: the root key alone makes no refresh token that is taken', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const { refresh_token } = await server.logIn(client, await server.user())
  const { macKeyOf } = server.ctx.rootKeys
  const opened = openRefreshToken(macKeyOf, refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable: it was handed out just now')
  for (const generation of [0, 1]) {
    const forged = sealRefreshToken(macKeyOf, { ...opened.token, generation, secret: randomBytes(16) })
    const form = { grant_type: 'refresh_token', refresh_token: forged, ...client.form }
    isOAuthError(t, await server.post('/token', form), 400, 'invalid_grant', `of generation ${generation}`)
  }
  t.ok((await server.refresh(client, refresh_token)).refresh_token, 'and the session lives')
})

t.test('invariant 7: the root key alone makes no code that is taken', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true, ...forLogIns })
  const user = await server.user()
  const { ctx } = server
  // The thief knows all that an honest code of his own has told him: ids, epochs, and how one is made.
  const rootKeys = readRootKeys(ctx.config)
  const redeem = async (maker: Parameters<typeof codeFor>[0]) => {
    const { form } = await codeFor(maker, app, user, { signIn: await signIn(server, user) })
    return server.post('/token', { ...app.form, ...form })
  }
  for (const secret of ['', 'x'.repeat(43)]) {
    rootKeys.bindTo(secret)
    isOAuthError(t, await redeem({ ctx: { ...ctx, rootKeys } }), 400, 'invalid_grant', `of ${secret}`)
  }
  t.equal((await redeem(server)).statusCode, 200, 'the server has the secret of the database too')
})

t.test('invariant 7: the root key alone makes no cookie that is taken', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const browser = openBrowser(server)
  await logInWith(browser, web.begin(), await server.user())
  const name = '__Host-mintmark'
  const cookie = browser.cookies.get(name)
  const { signInKeyOf } = server.ctx.rootKeys
  const opened = openSignInCookie(signInKeyOf, cookie?.value ?? '')
  if (!cookie || opened.kind !== 'genuine') throw new Error('unreachable: it was set just now')
  const isLoggedIn = async (value: string) => {
    const thief = openBrowser(server)
    thief.cookies.set(name, { ...cookie, value })
    return (await thief.open(web.begin({ prompt: 'none' }).url)).url.searchParams.has('code')
  }
  const { secret } = opened.cookie
  const forged = sealSignInCookie(signInKeyOf, { ...opened.cookie, secret: randomBytes(secret.length) })
  t.equal(await isLoggedIn(forged), false, 'without its secret')
  t.equal(await isLoggedIn(sealSignInCookie(signInKeyOf, opened.cookie)), true, 'which is all that it lacks')
})
