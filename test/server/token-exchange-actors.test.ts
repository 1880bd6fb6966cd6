import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { itemsOf } from '../../src/values/list.ts'
import { claimsOf } from '../helpers/codes.ts'
import {
  accessTokenType,
  exchangeForm,
  exchangeWorld,
  gateway,
  invoices,
  jwtType,
  orders,
} from '../helpers/exchange.ts'
import { freePort } from '../helpers/free-port.ts'
import { runsOf } from '../helpers/runs.ts'
import { isOAuthError, type TestClient } from '../helpers/server.ts'

const { server, clients, user, call, ask, exchange, exchanger, machine } = await exchangeWorld(t)
const { ctx } = server

t.test('who acts is named, with a token of its own too, and may_act says who may', async t => {
  const token = await call()
  const agent = await server.client('agent', { resources: gateway, scope: 'orders:read' })
  const own = await machine(agent)
  const as = (actor_token: string) => ({ actor_token, actor_token_type: jwtType })
  const claims = claimsOf(await exchange(clients.gateway, token, as(own)))
  t.strictSame(claims['act'], { sub: 'agent', sid: claimsOf(own)['sid'] })
  const other = (await server.logIn(clients.web, await server.user('bob'))).access_token
  const delegated = await exchange(clients.gateway, token, { resource: orders })
  isOAuthError(
    t,
    await ask(clients.gateway, other, as(delegated)),
    400,
    'invalid_request',
    'one who acts for another',
  )
  isOAuthError(
    t,
    await ask(clients.orders, delegated, as(own)),
    400,
    'invalid_request',
    'for an API of another',
  )
  server.tick(100)
  const later = await call()
  t.equal(
    claimsOf(await exchange(clients.gateway, later, as(own)))['exp'],
    claimsOf(own)['exp'],
    'the earlier end',
  )

  const signed = (may_act: unknown) => ctx.keys.sign('at+jwt', 'ES256', { ...claimsOf(later), may_act })
  for (const [may_act, isRight] of [
    [null, false],
    [{ sub: 'gateway' }, true],
    [{ sub: 'gateway', iss: 'https://as.example' }, true],
    [{ sub: 'orders' }, false],
    [{ sub: 'gateway', iss: 'https://other.example' }, false],
    [{ sub: 'gateway', email: 'x' }, false],
    [{}, false],
    ['gateway', false],
  ] as const) {
    const response = await ask(clients.gateway, await signed(may_act), { resource: orders })
    if (!isRight) isOAuthError(t, response, 400, 'invalid_request', JSON.stringify(may_act))
    else t.strictSame(claimsOf(response.json().access_token)['may_act'], may_act, 'and it goes on to count')
  }
  const onlyGateway = await exchange(clients.gateway, await signed({ sub: 'gateway' }), { resource: orders })
  isOAuthError(t, await ask(clients.orders, onlyGateway), 400, 'invalid_request', 'for the next too')
})

t.test(
  'a client may impersonate users if it was told so, but no administrator, and each time is audited',
  async t => {
    const hidden = await exchanger('hidden', {
      introspects: `${gateway} ${orders}`,
      resources: orders,
      scope: 'orders:read',
      may_impersonate: 1,
    })
    const audited = async () => {
      const rows = await ctx.db.sql
        .selectFrom('audit')
        .selectAll()
        .where('event', '=', 'user_impersonated')
        .execute()
      return rows.map(({ actor, user_id, client_id, session_id, detail }) => ({
        actor,
        user: user_id && formatUuid(user_id),
        client_id,
        sid: session_id && formatUuid(session_id),
        detail,
      }))
    }
    const token = await call()
    await exchange(clients.gateway, token)
    t.strictSame(await audited(), [], 'a delegation is none')
    const claims = claimsOf(await exchange(hidden, token))
    t.notOk('act' in claims)
    t.match(claims, { sub: user.sub, client_id: 'hidden', session_client_id: 'web' })
    const entry = {
      actor: 'client hidden',
      user: user.sub,
      client_id: 'hidden',
      sid: claims['sid'],
      detail: JSON.stringify({ resource: orders, scope: ['orders:read'] }),
    }
    t.strictSame(await audited(), [entry])
    await exchange(hidden, token)
    t.equal((await audited()).length, 2)

    const own = await machine(hidden)
    const open = await exchange(hidden, token, { actor_token: own, actor_token_type: jwtType })
    t.match(claimsOf(open)['act'], { sub: 'hidden' }, 'with a token of its own it says that it acts')
    const delegated = await exchange(clients.gateway, token, { resource: orders })
    isOAuthError(t, await ask(hidden, delegated), 400, 'invalid_request', 'where somebody acts already')
    const robot = await server.client('steel', { resources: gateway, scope: 'orders:read' })
    t.match(
      claimsOf(await exchange(hidden, await machine(robot))),
      { act: { sub: 'hidden' } },
      'a machine is no user',
    )

    const group = {
      id: randomBytes(16),
      name: 'admins',
      roles: 'mintmark:support',
      created_at: 0,
      deleted_at: null,
    }
    await ctx.db.sql.insertInto('groups').values(group).execute()
    for (const [name, roles, groups] of [
      ['root', 'mintmark:admin', ''],
      ['grouped', '', 'admins'],
    ] as const) {
      const admin = await server.user(name, roles)
      await ctx.db.sql.updateTable('users').set({ group_names: groups }).where('id', '=', admin.id).execute()
      const ofAdmin = (await server.logIn(clients.web, admin)).access_token
      isOAuthError(t, await ask(hidden, ofAdmin), 400, 'invalid_request', `an administrator: ${name}`)
      t.match(
        claimsOf(await exchange(clients.gateway, ofAdmin)),
        { act: { sub: 'gateway' } },
        'who says so may',
      )
    }
    t.equal((await audited()).length, 2, 'no refusal is told as an act')
  },
)

t.test('a chain of exchanges is never wider than its beginning, and ends', async t => {
  const knows: Readonly<Record<string, string>> = {
    [orders]: 'orders:read orders:write invoices:read',
    [invoices]: 'invoices:read invoices:write',
  }
  const named: Readonly<Record<string, TestClient>> = clients
  const step = fc.record({
    // Mostly one that may: the client that the token was sent to.
    client: fc.constantFrom('called', 'called', 'called', 'gateway', 'orders', 'stranger'),
    resource: fc.constantFrom(undefined, undefined, gateway, orders, invoices),
    scope: fc.option(fc.subarray(['orders:read', 'invoices:read', 'invoices:write'], { minLength: 1 }), {
      nil: undefined,
      freq: 2,
    }),
    wait: fc.nat({ max: 40 }),
  })
  const start = fc.subarray(['orders:read', 'orders:write', 'invoices:read'], { minLength: 1 })
  let exchanged = 0
  const tell = async (
    scopes: readonly string[],
    steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[],
  ) => {
    let token = await call({ scope: scopes.join(' ') })
    let depth = 0
    for (const { client: who, resource, scope, wait } of steps) {
      server.tick(wait)
      const before = claimsOf(token)
      const [called = ''] = new URL(String(before['aud'])).hostname.split('.')
      const client = who === 'called' ? called : who
      const response = await ask(named[client] ?? clients.web, token, {
        ...(resource && { resource }),
        ...(scope && { scope: scope.join(' ') }),
      })
      if (response.statusCode !== 200) continue
      exchanged++
      token = response.json().access_token
      const after = claimsOf(token)
      const had = itemsOf(String(before['scope']))
      const known = itemsOf(knows[String(after['aud'])] ?? '')
      assert.ok(itemsOf(String(after['scope'])).every(one => had.includes(one) && known.includes(one)))
      assert.ok(Number(after['exp']) <= Number(before['exp']))
      for (const name of ['sub', 'sid', 'auth_time', 'acr', 'status'])
        assert.deepEqual(after[name], before[name])
      assert.deepEqual(after['act'], {
        sub: client,
        ...(before['act'] !== undefined && { act: before['act'] }),
      })
      assert.ok(++depth <= 5)
    }
  }
  await fc.assert(fc.asyncProperty(start, fc.array(step, { minLength: 3, maxLength: 12 }), tell), {
    numRuns: runsOf(80),
  })
  t.ok(exchanged > 3, `${exchanged} exchanges went well`)

  let token = await call()
  for (const client of [clients.gateway, clients.gateway, clients.orders, clients.orders, clients.orders])
    token = await exchange(client, token, { resource: orders })
  isOAuthError(t, await ask(clients.orders, token), 400, 'invalid_request', 'a sixth acts')

  let hidden = await call()
  for (let i = 0; i <= 17; i++) {
    const settings = { introspects: `${gateway} ${orders}`, resources: orders, may_impersonate: 1 }
    const client = await exchanger(`hidden-${i}`, { scope: 'orders:read', ...settings })
    const response = await ask(client, hidden)
    if (i === 17) isOAuthError(t, response, 400, 'invalid_request', 'nor do any number take part unseen')
    else hidden = response.json().access_token
  }
})

t.test('openid-client and oauth4webapi exchange a token', async t => {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const other = await exchangeWorld(t, { MINTMARK_ISSUER: issuer })
  await other.server.app.listen({ host: '127.0.0.1', port })
  other.server.setClock(Math.floor(Date.now() / 1000))
  const { id, secret = '' } = other.clients.gateway
  const { grant_type, ...form } = {
    ...exchangeForm(await other.call()),
    resource: orders,
    scope: 'orders:read',
  }
  const expected = { issued_token_type: accessTokenType, scope: 'orders:read', token_type: 'bearer' }

  const config = await openid.discovery(new URL(issuer), id, secret, undefined, {
    execute: [openid.allowInsecureRequests],
  })
  t.ok(config.serverMetadata().grant_types_supported?.includes(grant_type))
  t.match(await openid.genericGrantRequest(config, grant_type, form), expected)

  const as = { issuer, token_endpoint: `${issuer}/token` }
  const response = await oauth.genericTokenEndpointRequest(
    as,
    { client_id: id },
    oauth.ClientSecretBasic(secret),
    grant_type,
    form,
    { [oauth.allowInsecureRequests]: true },
  )
  t.match(await oauth.processGenericTokenEndpointResponse(as, { client_id: id }, response), expected)
})
