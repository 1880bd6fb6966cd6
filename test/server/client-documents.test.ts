import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { keepDocumentClient } from '../../db/clients/open-clients.ts'
import { rememberConsent } from '../../db/users/consents.ts'
import { rotateSecret, clientForKeys } from '../../src/admin/client-credentials.ts'
import { deleteClient, disableClient, enableClient, updateClient } from '../../src/admin/clients.ts'
import { updateResource } from '../../src/admin/resources.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { readClientDocument } from '../../src/clients/client-document.ts'
import { loadConfig } from '../../src/config/load.ts'
import { byUser } from '../../src/record/record.ts'
import { withdrawConsent } from '../../src/endings/end-sign-ins.ts'
import { en } from '../../src/pages/texts/en.ts'
import { isDocumentUrl } from '../../src/protocol/document-url.ts'
import { sha256 } from '../../src/values/sha256.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { clientDocument, openDocumentSite, type DocumentSite } from '../helpers/document-site.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { assertionClaims, assertionForm, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startServer, until, type TestServer, type TestUser } from '../helpers/server.ts'

const mcp = 'https://mcp.example/mcp'
const redirectUri = 'https://agent.example/callback'

/** A server that takes the clients of a site, with an open resource, a user, and that site. */
async function world(t: Test, env: Record<string, string> = {}) {
  const site = await openDocumentSite(t)
  const server = await startServer(t, {
    MINTMARK_CLIENT_DOCUMENT_HOSTS: site.host,
    MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8',
    ...env,
  })
  await server.resource(mcp, { is_open: 1, scope_words: '{"read":"Read your notes"}' })
  await server.resource('https://payroll.example', { scope: 'salaries' })
  return { server, site, user: await server.user(), browser: openBrowser(server) }
}

const verifier = randomBytes(32).toString('base64url')

function authorizeUrl(clientId: string, more: Record<string, string> = {}): string {
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    resource: mcp,
    scope: 'read',
    state: 's',
    code_challenge: sha256(verifier).toString('base64url'),
    code_challenge_method: 'S256',
    ...more,
  }
  return `/authorize?${new URLSearchParams(parameters)}`
}

/** Comes as far as the page that asks. */
async function ask(browser: Browser, url: string, user: TestUser): Promise<Page> {
  const page = await browser.open(url)
  if (page.isElsewhere || page.url.pathname !== '/log-in') return page
  return browser.submit(page, { username: user.username, password: user.password })
}

const allow = (browser: Browser, page: Page) => browser.submit(page, {}, { button: 'decision=allow' })

async function redeem(server: TestServer, clientId: string, page: Page, more: Record<string, string> = {}) {
  const code = page.url.searchParams.get('code') ?? ''
  const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri }
  return server.post('/token', { client_id: clientId, resource: mcp, ...form, ...more })
}

/** What shows that a client has this key. */
async function assertionBy({ ctx }: TestServer, clientId: string, key: TestKey) {
  const assertion = await signJwt(key, { alg: key.alg }, assertionClaims(clientId, ctx.clock.now()))
  return { client_id: clientId, ...assertionForm(assertion) }
}

const adminOf = ({ ctx }: TestServer) =>
  servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)

const refused = (text: RegExp) => ({ name: 'Refusal', code: 'invalid', text })

await forEachEngine(
  t,
  'a client is known by the document at its client_id, and stored once it is allowed',
  async (t, env) => {
    const { server, site, user, browser } = await world(t, env)
    const id = site.publish('/agent.json', { client_name: 'Famous <b>assistant</b>' })
    const metadata = (await server.request({ url: '/.well-known/oauth-authorization-server' })).json()
    t.equal(metadata.client_id_metadata_document_supported, true)
    t.ok(metadata.token_endpoint_auth_methods_supported.includes('none'))

    const asked = await ask(browser, authorizeUrl(id), user)
    t.equal(asked.url.pathname, '/consent')
    t.equal(await findClient(server.ctx.db, id), undefined, 'nothing is stored before that')
    t.match(asked.text, `${site.host} asks for access`, 'it is called by its host')
    t.match(asked.text, 'Nobody here has checked this app')
    t.match(asked.text, 'calls itself “ Famous <b>assistant</b> ”')
    t.match(asked.text, 'the access goes to agent.example')
    t.match(asked.text, 'Read your notes')
    const back = await allow(browser, asked)
    t.equal(back.url.origin, 'https://agent.example')
    t.equal(back.url.searchParams.get('iss'), 'https://as.example')
    const row = await findClient(server.ctx.db, id)
    t.match(row, { made_by: 'document', client_name: site.host, claimed_name: 'Famous <b>assistant</b>' })

    const tokens = await redeem(server, id, back)
    t.equal(tokens.statusCode, 200, 'it is known at once, to every endpoint')
    const claims = JSON.parse(Buffer.from(tokens.json().access_token.split('.')[1], 'base64url').toString())
    t.match(claims, { aud: mcp, client_id: id, scope: 'read', sub: user.sub })
    const refreshed = await server.post('/token', {
      ...{
        grant_type: 'refresh_token',
        refresh_token: tokens.json().refresh_token,
        client_id: id,
        resource: mcp,
      },
    })
    t.equal(refreshed.statusCode, 200)
    t.not(refreshed.json().refresh_token, tokens.json().refresh_token, 'it rotates')

    const again = await browser.open(authorizeUrl(id))
    t.equal(again.url.pathname, '/consent', 'and it is asked each time')
    t.equal(site.asked.length, 1, 'by what was fetched a moment ago')
    const created = await server.ctx.db.sql
      .selectFrom('audit')
      .select(['event', 'actor'])
      .where('client_id', '=', id)
      .execute()
    t.strictSame(
      created.map(({ event }) => event),
      ['client_created', 'consent_granted', 'log_in'],
    )
    t.match(created[0]?.actor, /^user /)
  },
)

t.test('with a program on the device it warns, and names the address', async t => {
  const { server, site, user, browser } = await world(t)
  const id = site.publish('/agent.json')
  const asked = await ask(
    browser,
    authorizeUrl(id, { redirect_uri: 'http://127.0.0.1:45678/callback' }),
    user,
  )
  t.match(asked.text, 'a program on this device ( 127.0.0.1:45678 )', 'at whichever port (RFC 8252 §7.3)')
  const german = openBrowser(server, { language: 'de' })
  const gefragt = await ask(german, authorizeUrl(id), user)
  t.match(gefragt.text, 'Niemand hier hat diese App geprüft')
})

t.test(
  'a document that cannot be is refused with a page that says why, and asked for again later',
  async t => {
    const { server, site, browser } = await world(t)
    const cases: [title: string, answer: Parameters<DocumentSite['pages']['set']>[1], detail: string][] = [
      ['a redirect', { status: 302, headers: { location: '/agent.json' } }, 'the answer is a redirect'],
      ['a megabyte', { body: JSON.stringify({ pad: 'x'.repeat(1_000_000) }) }, 'larger than 10240 bytes'],
      ['not found', { status: 404, body: '{}' }, 'has the status 404'],
      [
        'a page',
        { headers: { 'content-type': 'text/html' }, body: '{}' },
        'not of the type application/json',
      ],
      ['no JSON', { body: 'hello' }, 'is no JSON'],
      ['without an end', { body: '['.repeat(4000) + ']'.repeat(4000) }, 'is no JSON'],
      ['a list', { body: '[]' }, 'no JSON object'],
      [
        'of another',
        { body: JSON.stringify(clientDocument(`${site.origin}/other.json`)) },
        'its client_id is not the URL',
      ],
    ]
    for (const [i, [title, answer, detail]] of cases.entries()) {
      const path = `/bad-${i}.json`
      site.pages.set(path, answer)
      const page = await browser.open(authorizeUrl(site.origin + path))
      t.equal(page.response.statusCode, 400, title)
      t.match(page.text, en.messages.client_document_refused.heading, title)
      t.match(page.text, detail, title)
      const par = await server.post('/par', { client_id: site.origin + path, redirect_uri: redirectUri })
      isOAuthError(t, par, 401, 'invalid_client', title)
    }
    const asked = site.asked.length
    await browser.open(authorizeUrl(`${site.origin}/bad-2.json`))
    t.equal(site.asked.length, asked, 'not again at once')
    server.tick(10)
    site.publish('/bad-2.json')
    t.equal(
      (await browser.open(authorizeUrl(`${site.origin}/bad-2.json`))).url.pathname,
      '/log-in',
      'but soon',
    )
  },
)

t.test('the members that a document cannot have', async t => {
  const id = 'https://agent.example/client.json'
  const reasonOf = (members: object) => {
    const read = readClientDocument(id, clientDocument(id, members))
    return read.kind === 'refused' ? read.reason : read.kind
  }
  const { publicJwk, privateJwk } = await keysOf()
  const keys = (key: object) => ({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key] } })
  for (const [members, reason] of [
    [{ client_secret: 'x' }, /client_secret/],
    [{ client_secret_expires_at: 0 }, /client_secret/],
    [{ token_endpoint_auth_method: 'client_secret_basic' }, /none, private_key_jwt/],
    [{ token_endpoint_auth_method: 'private_key_jwt' }, /jwks or at jwks_uri/],
    [
      { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'http://agent.example/' },
      /jwks_uri takes an https/,
    ],
    [
      { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://agent.example/\0' },
      /jwks_uri takes an https/,
    ],
    [keys(privateJwk), /private/],
    [{ redirect_uris: [] }, /redirect_uris/],
    [{ redirect_uris: ['javascript:alert(1)'] }, /redirect_uris/],
    [{ redirect_uris: ['http://agent.example/'] }, /redirect_uris/],
    [{ redirect_uris: 'https://agent.example/' }, /redirect_uris/],
    [{ redirect_uris: Array.from({ length: 21 }, (_, i) => `https://agent.example/${i}`) }, /1 to 20/],
    [{ client_name: 'hidden\u202e' }, /client_name/],
    [{ client_name: 5 }, /client_name/],
    [{ grant_types: ['client_credentials'] }, /authorization_code/],
    [{ grant_types: 'authorization_code' }, /authorization_code/],
    [{ response_types: 'code' }, /response_types/],
    [{ response_types: ['token'] }, /response_types/],
    [keys(publicJwk), /^good$/],
    [{ token_endpoint_auth_method: undefined, client_uri: 'https://agent.example/', logo_uri: 5 }, /^good$/],
  ] as const)
    t.match(reasonOf(members), reason, JSON.stringify(members).slice(0, 80))
  const columnsOf = (members: object) => {
    const read = readClientDocument(id, clientDocument(id, members))
    return read.kind === 'good' ? read.columns : {}
  }
  t.match(columnsOf({ grant_types: ['authorization_code', 'password', 'client_credentials'] }), {
    grant_types: 'authorization_code',
  })
  t.match(columnsOf({ grant_types: undefined }), { grant_types: 'authorization_code' }, 'RFC 7591 §2')
  t.match(columnsOf({ client_uri: 'https://famous.example/' }), { client_uri: null }, 'no home but its own')
  t.match(columnsOf({ client_uri: 'https://agent.example/' }), { client_uri: 'https://agent.example/' })
})

async function keysOf() {
  const key = await testKey()
  return { publicJwk: key.publicJwk, privateJwk: { ...key.publicJwk, d: 'AAAA' } }
}

t.test('which client_ids are URLs of documents', async t => {
  for (const [id, isOne] of [
    ['https://agent.example/client.json', true],
    ['https://agent.example:8443/a/b', true],
    ['https://agent.example/', false],
    ['https://agent.example', false],
    ['http://agent.example/client.json', false],
    ['https://agent.example/client.json#a', false],
    ['https://agent.example/client.json?a=b', false],
    ['https://agent.example:443/client.json', false],
    ['https://AGENT.example/client.json', false],
    ['https://a:b@agent.example/client.json', false],
    ['https://agent.example/a/../client.json', false],
    ['https://agent.example/a/%2e%2e/client.json', false],
    [`https://agent.example/${'a'.repeat(300)}`, false],
    ['web', false],
  ] as const)
    t.equal(isDocumentUrl(id), isOne, id)
  const hosts = (text: string) =>
    loadConfig({ MINTMARK_CLIENT_DOCUMENT_HOSTS: text }, '/srv').clientDocumentHosts
  t.strictSame(hosts('claude.ai, agent.example:8443'), ['claude.ai', 'agent.example:8443'])
  t.equal(hosts('any'), 'any')
  for (const text of ['https://claude.ai', '*', 'Claude.ai', 'claude.ai/x', 'claude.ai:443'])
    t.throws(() => hosts(text), /CLIENT_DOCUMENT_HOSTS/, text)
})

t.test('nothing is fetched that the operator does not take, or that is in a private network', async t => {
  const site = await openDocumentSite(t)
  const id = site.publish('/agent.json')
  const own = { MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8' }
  for (const [env, kind] of [
    [{}, 'client_unknown'],
    [{ MINTMARK_CLIENT_DOCUMENT_HOSTS: 'claude.ai 127.0.0.1' }, 'client_unknown'],
    [{ MINTMARK_CLIENT_DOCUMENT_HOSTS: site.host }, 'client_document_unreachable'],
    // Some of our own clients are there, and strangers are not.
    [{ MINTMARK_CLIENT_DOCUMENT_HOSTS: 'any', ...own }, 'client_document_unreachable'],
  ] as const) {
    const server = await startServer(t, env)
    await server.resource(mcp, { is_open: 1 })
    const page = await openBrowser(server).open(authorizeUrl(id))
    t.equal(page.response.statusCode, 400)
    t.match(page.text, en.messages[kind].heading)
    t.notMatch(page.text, 'private', 'what is in the network is not told')
  }
  t.equal(site.asked.length, 0)
  const closed = await startServer(t)
  const { client_id_metadata_document_supported: isOffered } = (
    await closed.request({ url: '/.well-known/openid-configuration' })
  ).json()
  t.equal(isOffered, undefined, 'unless it is switched on')
})

t.test('what is open decides what such a client may ask for, from one moment to the next', async t => {
  const { server, site, user, browser } = await world(t)
  const id = site.publish('/agent.json')
  const errorOf = async (more: Record<string, string>) =>
    (await browser.open(authorizeUrl(id, more))).url.searchParams.get('error')
  t.equal(await errorOf({ resource: 'https://payroll.example', scope: 'salaries' }), 'invalid_target')
  t.equal(await errorOf({ scope: 'salaries' }), 'invalid_scope')
  t.equal(await errorOf({ scope: 'admin:write', resource: '' }), 'invalid_scope')
  const tokens = await redeem(server, id, await allow(browser, await ask(browser, authorizeUrl(id), user)))
  const { refresh_token } = tokens.json()

  await updateResource(adminOf(server), mcp, { open: false })
  await server.follow()
  const refresh = () => server.post('/token', { grant_type: 'refresh_token', refresh_token, client_id: id })
  isOAuthError(t, await refresh(), 401, 'invalid_client', 'nothing is open')
  t.match((await browser.open(authorizeUrl(id))).text, en.messages.client_unknown.heading)
  const other = site.publish('/other.json')
  t.match((await browser.open(authorizeUrl(other))).text, 'no API of this server is open')
  await updateResource(adminOf(server), mcp, { open: true })
  await server.follow()
  t.equal((await refresh()).statusCode, 200, 'and again')
})

await forEachEngine(
  t,
  'a changed document counts from the next request on, and for none that is under way to its harm',
  async (t, env) => {
    const { server, site, user, browser } = await world(t, env)
    const id = site.publish('/agent.json', {}, { 'cache-control': 'max-age=1' })
    const asked = await ask(browser, authorizeUrl(id), user)
    // Its owner, or who has taken the site over, leads elsewhere while the person reads.
    site.publish('/agent.json', { redirect_uris: ['https://evil.example/'], client_name: 'Other' })
    server.tick(61)
    const back = await allow(browser, asked)
    t.equal(back.isElsewhere, false, 'nothing goes where the document does not lead any more')
    t.match(back.text, en.messages.redirect_uri_unregistered.heading)
    const evil = await browser.open(authorizeUrl(id, { redirect_uri: 'https://evil.example/' }))
    t.match(evil.text, 'the access goes to evil.example', 'and who goes there is told')
    site.publish('/agent.json', { client_name: 'Third' })
    server.tick(601)
    const third = await allow(browser, await browser.open(authorizeUrl(id)))
    t.equal((await redeem(server, id, third)).statusCode, 200)
    const changes = await server.ctx.db.sql
      .selectFrom('audit')
      .select('detail')
      .where('event', '=', 'client_changed')
      .execute()
    t.match(
      changes.map(({ detail }) => JSON.parse(detail ?? '')),
      [{ claimed_name: { from: 'Other', to: 'Third' } }],
    )
  },
)

t.test('a host that is away is no end of a client that is known', async t => {
  const { server, site, user, browser } = await world(t)
  const id = site.publish('/agent.json')
  const tokens = await redeem(server, id, await allow(browser, await ask(browser, authorizeUrl(id), user)))
  site.close()
  server.tick(601)
  t.equal((await browser.open(authorizeUrl(id))).url.pathname, '/consent', 'by the document of before')
  server.tick(3600)
  const away = await browser.open(authorizeUrl(id))
  t.equal(away.response.statusCode, 400)
  t.match(away.text, en.messages.client_document_unreachable.heading)
  t.match(away.text, 'Try again in 10 seconds')
  const par = await server.post('/par', { client_id: id, redirect_uri: redirectUri })
  isOAuthError(t, par, 503, 'temporarily_unavailable', 'a program is told to come back')
  const { refresh_token } = tokens.json()
  const refreshed = await server.post('/token', { grant_type: 'refresh_token', refresh_token, client_id: id })
  t.equal(refreshed.statusCode, 200, 'its sessions go on')
})

t.test('a confidential one proves its keys, at /par and at /token, and its tokens are its own', async t => {
  const { server, site, user, browser } = await world(t)
  const key = await testKey()
  const id = site.publish('/agent.json', {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [key.publicJwk] },
  })
  const assertion = (signer = key) => assertionBy(server, id, signer)
  const request = Object.fromEntries(new URL(authorizeUrl(id), 'https://as.example').searchParams)
  isOAuthError(t, await server.post('/par', request), 401, 'invalid_client', 'without')
  const wrong = await server.post('/par', { ...request, ...(await assertion(await testKey())) })
  isOAuthError(t, wrong, 401, 'invalid_client', 'by another key')
  const pushed = await server.post('/par', { ...request, ...(await assertion()) })
  t.equal(pushed.statusCode, 201)
  const { request_uri } = pushed.json()
  const url = `/authorize?${new URLSearchParams({ client_id: id, request_uri })}`
  const back = await allow(browser, await ask(browser, url, user))
  isOAuthError(t, await redeem(server, id, back), 401, 'invalid_client', 'nobody else redeems its code')
  t.equal((await redeem(server, id, back, await assertion())).statusCode, 200)
  const credentials = { grant_type: 'client_credentials', ...(await assertion()) }
  isOAuthError(
    t,
    await server.post('/token', credentials),
    400,
    'unauthorized_client',
    'no machine of its own',
  )
})

t.test('its code is good at once, as its document is then, whatever was known of clients before', async t => {
  const { server, site, user, browser } = await world(t)
  // After so many that are unknown, all ids that there are stay in memory.
  for (let i = 0; i < 10; i++)
    await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token: 'x',
      client_id: `made-up-${i}`,
    })
  const logIn = async (key: TestKey) => {
    const id = site.publish('/agent.json', {
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [key.publicJwk] },
    })
    server.tick(601)
    const back = await allow(browser, await ask(browser, authorizeUrl(id), user))
    return async (signer = key) => redeem(server, id, back, await assertionBy(server, id, signer))
  }
  const [first, second] = [await testKey(), await testKey()]
  t.equal((await (await logIn(first))()).statusCode, 200, 'a client that nobody knew')
  const redeemBy = await logIn(second)
  isOAuthError(t, await redeemBy(first), 401, 'invalid_client', 'by the key of before')
  t.equal((await redeemBy()).statusCode, 200, 'by the key that the document has now')
})

t.test('an administrator sees it, may disable it for good, and changes nothing of it', async t => {
  const { server, site, user, browser } = await world(t)
  const id = site.publish('/agent.json')
  const tokens = await redeem(server, id, await allow(browser, await ask(browser, authorizeUrl(id), user)))
  const admin = adminOf(server)
  await t.rejects(updateClient(admin, id, { consent: 'never' }), refused(/cannot be changed here/))
  await t.rejects(rotateSecret(admin, id, {}), refused(/cannot be changed here/))
  await t.rejects(clientForKeys(admin, id), refused(/cannot be changed here/))
  await disableClient(admin, id)
  await server.follow()
  const { refresh_token } = tokens.json()
  const refresh = () => server.post('/token', { grant_type: 'refresh_token', refresh_token, client_id: id })
  isOAuthError(t, await refresh(), 401, 'invalid_client', 'disabled')
  t.match((await browser.open(authorizeUrl(id))).text, en.messages.client_unknown.heading)
  const par = await server.post('/par', { client_id: id, redirect_uri: redirectUri })
  isOAuthError(t, par, 401, 'invalid_client', 'disabled')
  server.tick(60 * 86_400)
  await withdrawn(server, user, id)
  await runJob(server, 'deleting unused clients')
  t.ok(await findClient(server.ctx.db, id), 'and stays so, however long')
  await enableClient(admin, id)
  await server.follow()
  isOAuthError(t, await refresh(), 400, 'invalid_grant', 'its sessions have ended')
  await deleteClient(admin, id)
  await server.follow()
  const anew = await ask(browser, authorizeUrl(id), user)
  t.equal(anew.url.pathname, '/consent', 'one that is deleted may come again, as a stranger')
})

const withdrawn = async ({ ctx }: TestServer, user: TestUser, clientId: string) =>
  withdrawConsent(byUser(ctx, user.id, { address: '192.0.2.1', requestId: 'r' }), {
    userId: user.id,
    clientId,
  })

t.test('a client of another kind, or the consent to one, is none that is known by a document', async t => {
  const { server, user } = await world(t)
  const { db, clock } = server.ctx
  const web = 'https://agent.example/web.json'
  await server.client(web)
  const [row] = await db.sql.selectFrom('clients').selectAll().where('id', '=', web).execute()
  if (!row) throw new Error('unreachable')
  const { epoch: _, ...client } = row
  const limits = { userId: user.id, clientsMax: 1 }
  t.equal(await keepDocumentClient(db, client, { client_name: 'Other' }, limits), undefined)
  await rememberConsent(db, {
    ...{ id: randomBytes(16), user: { id: user.id, epoch: 0 }, client: row },
    ...{ resource: mcp, scope: ['read'], now: clock.now() },
  })
  const other = { ...client, id: 'https://agent.example/other.json', made_by: 'document' } as const
  t.match(await keepDocumentClient(db, other, {}, limits), { kind: 'added' })
})

await forEachEngine(
  t,
  'one that nobody allows anything any more is forgotten after a month',
  async (t, env) => {
    const { server, site, user, browser } = await world(t, env)
    const [used, unused] = [site.publish('/used.json'), site.publish('/unused.json')]
    for (const id of [used, unused]) await allow(browser, await ask(browser, authorizeUrl(id), user))
    await server.client('web')
    await withdrawn(server, user, unused)
    await runJob(server, 'deleting unused clients')
    t.ok(await findClient(server.ctx.db, unused), 'not at once')
    server.tick(31 * 86_400)
    await runJob(server, 'deleting unused clients')
    t.equal(await findClient(server.ctx.db, unused), undefined)
    t.ok(await findClient(server.ctx.db, used), 'but what is allowed something is kept')
    t.ok(await findClient(server.ctx.db, 'web'), 'and so is what an administrator has made')
  },
)

t.test('a person allows no more than a hundred of them, and a host is not asked without an end', async t => {
  const { server, site, user, browser } = await world(t)
  const id = site.publish('/agent.json')
  await allow(browser, await ask(browser, authorizeUrl(id), user))
  const [row, consent] = await Promise.all([
    findClient(server.ctx.db, id),
    server.ctx.db.sql.selectFrom('consents').selectAll().executeTakeFirstOrThrow(),
  ])
  if (!row) throw new Error('unreachable')
  for (let i = 0; i < 99; i++) {
    const other = `${site.origin}/${i}`
    await server.ctx.db.sql
      .insertInto('clients')
      .values({ ...row, id: other })
      .execute()
    await server.ctx.db.sql
      .insertInto('consents')
      .values({ ...consent, id: randomBytes(16), client_id: other })
      .execute()
  }
  const next = site.publish('/next.json')
  const page = await allow(browser, await browser.open(authorizeUrl(next)))
  t.match(page.text, en.messages.apps_exceeded.heading)
  t.equal(await findClient(server.ctx.db, next), undefined)
  const known = await allow(browser, await browser.open(authorizeUrl(id)))
  t.equal(known.isElsewhere, true, 'those that it has go on')
  const told = server.ctx.db.sql.selectFrom('audit').select('event').where('client_id', '=', id)
  const ofClient = (await told.execute()).filter(({ event }) => event.startsWith('client_'))
  t.strictSame(ofClient, [{ event: 'client_created' }], 'what has not changed is not told again')
  const [ben, hers] = [await server.user('ben'), openBrowser(server)]
  const allowed = await allow(hers, await ask(hers, authorizeUrl(next), ben))
  t.equal(allowed.isElsewhere, true, 'and so does each other person')

  const asked = site.asked.length
  const statuses: number[] = []
  for (let i = 0; i < 40; i++)
    statuses.push((await browser.open(authorizeUrl(`${site.origin}/made-up-${i}`))).response.statusCode)
  t.equal(site.asked.length - asked, 28, 'thirty in a minute, two of which are those above')
  t.equal(statuses.at(-1), 503)

  server.tick(601)
  site.asked.splice(0)
  for (let i = 0; i < 40; i++) await browser.open(authorizeUrl(`${site.origin}/made-up-${i}`))
  const other = await browser.open(authorizeUrl(next))
  t.equal(other.url.pathname, '/consent', 'strangers keep out no client that is known: by its last document')
  const used = await browser.open(authorizeUrl(id))
  t.equal(used.url.pathname, '/consent')
  const pathsAsked = () => site.asked.map(({ path }) => path)
  t.strictSame(pathsAsked().slice(-1), ['/agent.json'], 'and one that is used by its document of now')
  server.tick(601)
  const silent = ['/silent-1', '/silent-1', '/silent-2'].map(path => {
    site.pages.set(path, 'silent')
    return browser.open(authorizeUrl(site.origin + path))
  })
  await until(() => pathsAsked().includes('/silent-2'))
  const third = await browser.open(authorizeUrl(`${site.origin}/third.json`))
  t.equal(third.response.statusCode, 503, 'two at a time of one host')
  t.strictSame(pathsAsked().slice(-2), ['/silent-1', '/silent-2'], 'each is asked for once')
  await browser.open(authorizeUrl(id))
  t.strictSame(pathsAsked().slice(-1), ['/agent.json'], 'also while others fill all places')
  site.close()
  await Promise.all(silent)
})
