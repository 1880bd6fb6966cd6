import t from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { listAuditEntries } from '../../db/installation/audit.ts'
import type { Admin } from '../../src/admin/admin.ts'
import { planDeclaration } from '../../src/admin/plan.ts'
import { clientForKeys, rotateSecret } from '../../src/admin/client-credentials.ts'
import {
  createClient,
  deleteClient,
  disableClient,
  enableClient,
  updateClient,
} from '../../src/admin/clients.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { consoleClientId as id } from '../../src/clients/console-client.ts'
import { plainProperties } from '../../src/clients/properties.ts'
import { openBrowser } from '../helpers/browser.ts'
import { isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

const rowOf = ({ ctx }: TestServer) => findClient(ctx.db, id)

/** What was made or changed, as the audit trail has it. */
async function eventsOf({ ctx }: TestServer) {
  const entries = []
  for await (const entry of listAuditEntries(ctx.db, {})) entries.push(entry)
  return entries.filter(({ client_id }) => client_id === id).map(({ event, actor }) => `${event} by ${actor}`)
}

const adminOf = ({ ctx }: TestServer): Admin =>
  servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)

/** Its page, whether it is built here or not. */
const open = (server: TestServer, path = '') => server.request({ url: `/console${path}` })

t.test('there is no console where it is off, or the admin API is', async t => {
  for (const name of ['MINTMARK_CONSOLE', 'MINTMARK_ADMIN_API']) {
    const server = await startServer(t, { [name]: 'off' })
    for (const path of ['', '/users', '/assets/x.js', '/logo'])
      isOAuthError(t, await open(server, path), 404, 'invalid_request', `${name}: ${path}`)
    t.equal(await rowOf(server), undefined, 'nothing was made')
  }
})

t.test('its client is made when somebody first opens it, and once', async t => {
  const server = await startServer(t)
  t.equal(await rowOf(server), undefined)
  await Promise.all([open(server), open(server, '/users/x'), open(server, '/keys?act=rotate')])
  t.match(await rowOf(server), {
    auth_method: 'none',
    secret_hash: null,
    scope: 'admin:write',
    redirect_uris: 'https://as.example/console',
    cors_origins: 'https://as.example',
    dpop_bound: 1,
  })
  await server.follow()
  await open(server)
  t.strictSame(await eventsOf(server), ['client_created by server'])
})

t.test('it is made again where it was deleted, mended where it is another, and stays disabled', async t => {
  const server = await startServer(t)
  await open(server)
  const admin = adminOf(server)
  await deleteClient(admin, id)
  await server.follow()
  await open(server)
  t.ok(await rowOf(server))

  const elsewhere = {
    redirect_uris: 'https://evil.example/',
    dpop_bound: 0,
    refresh_policy: 'reuse',
  } as const
  await server.ctx.db.sql.updateTable('clients').set(elsewhere).where('id', '=', id).execute()
  await server.follow()
  await server.client('other')
  await open(server)
  t.match(await rowOf(server), {
    redirect_uris: 'https://as.example/console',
    dpop_bound: 1,
    refresh_policy: 'rotate',
  })
  t.match(await eventsOf(server), [
    'client_created by server',
    /./,
    'client_created by server',
    'client_changed by server',
  ])

  await disableClient(admin, id)
  await server.follow()
  await open(server)
  t.not((await rowOf(server))?.disabled_at, null)
  await enableClient(admin, id)
  t.equal((await rowOf(server))?.disabled_at, null)
})

t.test('nobody makes or changes it by hand, since it has the tokens of administrators', async t => {
  const server = await startServer(t)
  const admin = adminOf(server)
  const declared = {
    client_id: id,
    ...plainProperties,
    redirect_uris: ['https://evil.example/'],
    public: true,
  }
  const refusal = { code: 'conflict', text: /is the admin console of this server/ }
  await t.rejects(createClient(admin, declared), refusal)
  t.equal(await rowOf(server), undefined)
  await open(server)
  const before = await rowOf(server)
  await t.rejects(createClient(admin, declared), refusal)
  await t.rejects(updateClient(admin, id, { redirect_uris: ['https://evil.example/'] }), refusal)
  await t.rejects(rotateSecret(admin, id, {}), refusal)
  await t.rejects(clientForKeys(admin, id), refusal)
  await t.rejects(
    planDeclaration(admin, {
      claims: [],
      issuers: [],
      users: [],
      groups: [],
      streams: [],
      keyPolicy: {},
      resources: [],
      clients: [declared],
    }),
    refusal,
  )
  t.strictSame(await rowOf(server), before)
})

const query = (redirectUri: string) =>
  new URLSearchParams({
    response_type: 'code',
    client_id: id,
    redirect_uri: redirectUri,
    scope: 'openid admin:write',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  })

t.test('who is logged in gets to it without a page, where no other program can be in its place', async t => {
  const server = await startServer(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9000' })
  await open(server)
  const browser = openBrowser(server)
  const { username, password } = await server.user('root', 'mintmark:admin')
  const first = await browser.open(`/authorize?${query('http://127.0.0.1:9000/console')}`)
  const entered = await browser.submit(first, { username, password }, { staysPut: true })
  t.match(entered.response.headers.location, /^http:\/\/127\.0\.0\.1:9000\/console\?code=/)
  const again = await browser.open(`/authorize?${query('http://127.0.0.1:9000/console')}`, { staysPut: true })
  t.match(again.response.headers.location, /^http:\/\/127\.0\.0\.1:9000\/console\?code=/)
})

t.test('beside an admin API of its own it gets tokens from the issuer, and there it is not', async t => {
  const url = 'http://127.0.0.1:9002'
  const server = await startServer(t, {
    MINTMARK_ISSUER: 'http://127.0.0.1:9000',
    MINTMARK_ADMIN_PORT: '9002',
  })
  isOAuthError(t, await open(server), 404, 'invalid_request', 'not beside all else')
  const page = await server.adminApp?.inject({ url: '/console' })
  t.match(
    page?.headers['content-security-policy'],
    /connect-src 'self' http:\/\/127\.0\.0\.1:9000; form-action 'self' http:\/\/127\.0\.0\.1:9000;/,
  )
  t.match(await rowOf(server), { redirect_uris: `${url}/console`, cors_origins: url })
  await server.follow()
  const preflight = {
    origin: url,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'dpop',
  }
  const allowed = await server.request({ method: 'OPTIONS', url: '/token', headers: preflight })
  t.equal(allowed.headers['access-control-allow-origin'], url)

  const browser = openBrowser(server)
  const { username, password } = await server.user('root', 'mintmark:admin')
  const first = await browser.open(`/authorize?${query(`${url}/console`)}`)
  const entered = await browser.submit(first, { username, password }, { staysPut: true })
  t.match(entered.response.headers.location, `${url}/console?code=`)
  const again = await browser.open(`/authorize?${query(`${url}/console`)}`)
  t.match(again.text, /root/, 'another program may have that port on this device: so the person is asked')
})
