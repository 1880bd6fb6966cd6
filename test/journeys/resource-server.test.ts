import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { freePort } from '../helpers/free-port.ts'
import { end, installExamples, start, startDev, until } from '../helpers/programs.ts'

t.test('the examples: two APIs, and a server that revokes, goes away and comes back', async t => {
  const { home, succeed } = commandLine(t)
  const dev = { home, env: { MINTMARK_STATUS_LIST_DELAY: '2s' } }
  const { issuer, env, child: server, output } = await startDev(t, dev)
  const [, secret, password] = /-u demo:(\S+) .*-d password=(\S+)/.exec(output) ?? []
  if (secret === undefined || password === undefined) throw new Error(output)
  const logIn = async (scope = 'read write', resource = 'https://api.example') => {
    const form = {
      grant_type: 'password',
      client_id: 'demo',
      client_secret: secret,
      username: 'demo',
      password,
      scope,
      resource,
    }
    const response = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(form) })
    return String(Object(await response.json()).access_token)
  }

  const directory = installExamples(t, 'jose', 'fastify', 'express', 'openid-client', 'oauth4webapi')
  const apis = await Promise.all(
    ['fastify-api.ts', 'express-api.js'].map(async example => {
      const own = await freePort()
      await start(t, directory, [`examples/${example}`], {
        env: { ISSUER: issuer, PORT: String(own) },
        says: /listening/,
      })
      return { name: example, url: `http://127.0.0.1:${own}` }
    }),
  )
  const get = (url: string, token?: string, method = 'GET') =>
    fetch(`${url}/orders`, {
      method,
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    })

  const [kept, revoked, narrow] = [await logIn(), await logIn(), await logIn('read')]
  for (const { name, url } of apis) {
    t.equal((await fetch(url)).status, 200, `${name}: what has no hook is open`)
    const none = await get(url)
    t.equal(none.status, 401)
    const challenges = /^Bearer realm="api", scope="read", DPoP realm="api", algs="[^"]*", scope="read"$/
    t.match(none.headers.get('www-authenticate'), challenges)
    t.match(none.headers.get('content-type'), /^application\/json/)
    t.match(await none.json(), { error: 'no_token' })
    t.equal((await get(url, 'garbage')).status, 401)
    const good = await get(url, kept)
    t.equal(good.status, 200)
    t.match(await good.json(), { of: /^[0-9a-f-]{36}$/, orders: [] })
    const forbidden = await get(url, narrow, 'POST')
    t.equal(forbidden.status, 403)
    t.match(forbidden.headers.get('www-authenticate'), /error="insufficient_scope".*scope="read write"/)
    t.equal((await get(url, kept, 'POST')).status, 201)
    t.equal((await get(url, revoked)).status, 200)
  }

  const own = await freePort()
  await start(t, directory, ['examples/gateway.ts'], {
    env: {
      ISSUER: issuer,
      PORT: String(own),
      API: apis[0]?.url ?? '',
      CLIENT_KEY: join(home, 'keys/demo-gateway.jwk'),
    },
    says: /listening/,
  })
  const gateway = `http://127.0.0.1:${own}`
  const called = await logIn('read', 'https://gateway.example')
  for (let time = 0; time < 2; time++) {
    const passed = await get(gateway, called)
    t.equal(passed.status, 200)
    t.match(await passed.json(), { of: /^[0-9a-f-]{36}$/, orders: [] }, 'the gateway calls for its user')
  }
  t.equal((await get(gateway, kept)).status, 401, 'a token for the API is none for the gateway')
  t.equal((await get(apis[0]?.url ?? '', called)).status, 401, 'nor the other way round')
  const audit = (await succeed('session list --client demo-gateway --json', { env })).json()
  t.equal(audit.length, 1, 'and has a session of its own')

  const form = { client_id: 'demo', client_secret: secret, token: revoked }
  t.equal((await fetch(`${issuer}/revoke`, { method: 'POST', body: new URLSearchParams(form) })).status, 200)
  for (const { name, url } of apis) {
    const delay = await until(async () => (await get(url, revoked)).status === 401)
    t.comment(`${name}: revoked ${Math.round(delay)} ms later`)
    t.equal((await get(url, kept)).status, 200, `${name}: another session lives on`)
  }

  await end(server)
  await sleep(2500)
  for (const { name, url } of apis) {
    t.equal((await get(url, kept)).status, 200, `${name}: the server is away, and its list still good`)
    t.equal((await get(url, revoked)).status, 401)
  }
  await succeed('session revoke --user demo --yes', { env })
  const port = Number(new URL(issuer).port)
  const again = await startDev(t, { ...dev, port, asSources: true })
  t.match(again.output, /^  \.\/mintmark user passwd demo$/m, 'what is told to be run can be run')
  for (const { name, url } of apis) {
    await until(async () => (await get(url, kept)).status === 401)
    t.pass(`${name}: what was revoked meanwhile is refused once the server is back`)
  }
})
