import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { changeClient, deleteClient } from '../../db/clients/clients.ts'
import { listEvents } from '../../db/push/events.ts'
import {
  endReplayedSession,
  endSessionsOfClient,
  endSessionsOfUser,
  endStolenSession,
} from '../../src/endings/end.ts'
import { tokenExchange } from '../../src/protocol/grant-types.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { createVerifier, type AccessToken, type VerifierOptions } from '../../src/resource-server/verifier.ts'
import { byCommand } from '../helpers/by-command.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { exchangeWorld, gateway, invoices, jwtType, orders } from '../helpers/exchange.ts'
import { tell } from '../helpers/listening.ts'
import { isOAuthError, until, type TestClient } from '../helpers/server.ts'

const caller = { address: '192.0.2.1', requestId: 'r1' }

/** The world of exchanges, with an app, a user and an agent for each end, and APIs that use the kit. */
async function world(t: Test, env: EngineEnv = {}) {
  const all = await exchangeWorld(t, env)
  const { server, exchange, exchanger, machine, clients } = all
  const origin = await server.listen()
  const options = {
    issuer: 'https://as.example',
    fetch: (input: Parameters<typeof fetch>[0], init?: RequestInit) =>
      fetch(origin + String(input).slice('https://as.example'.length), init),
    now: () => server.ctx.clock.now() * 1000,
  }
  let count = 0
  const kit = (audience: string, more: Partial<VerifierOptions> = {}) => {
    const verifier = createVerifier({ ...options, audience, ...more })
    t.teardown(() => verifier.close())
    return verifier
  }
  /** A verifier that follows what is told, once it does. */
  const following = async ({ id, secret = '' }: TestClient, audience: string) => {
    let isLive = false
    const verifier = kit(audience, { push: true, client: { id, secret }, onPush: live => (isLive = live) })
    await until(() => isLive)
    return verifier
  }
  const begin = async () => {
    count++
    const app = await server.client(`app-${count}`, {
      resources: gateway,
      scope: 'orders:read invoices:read',
    })
    const agent = await server.client(`agent-${count}`, { resources: gateway, scope: 'orders:read' })
    const own = await exchanger(`gateway-${count}`, {
      introspects: gateway,
      resources: orders,
      scope: 'orders:read invoices:read',
    })
    const user = await server.user(`user-${count}`)
    const tokens = await server.logIn(app, user)
    const actor = { actor_token: await machine(agent), actor_token_type: jwtType }
    const atOrders = await exchange(own, tokens.access_token, { resource: orders, ...actor })
    const plain = await exchange(own, tokens.access_token, { resource: orders })
    const atInvoices = await exchange(clients.orders, plain, { resource: invoices })
    return { app, agent, gateway: own, user, tokens, atOrders, plain, atInvoices }
  }
  return { ...all, begin, kit, following }
}

type Story = Awaited<ReturnType<Awaited<ReturnType<typeof world>>['begin']>>
type World = Awaited<ReturnType<typeof world>>

const sessionOf = ({ user, app, tokens }: Story) => ({
  userId: user.id,
  clientId: app.id,
  sessionId: parseUuid(String(claimsOf(tokens.access_token)['sid'])) ?? Buffer.alloc(0),
})

/** What ends the session of the user, and so all that was exchanged from it. */
const ends: Readonly<Record<string, (world: World, story: Story) => Promise<unknown>>> = {
  'revoked by its app': ({ server }, { app, tokens }) => server.revoke(app, tokens.access_token),
  theft: ({ server: { ctx } }, story) => {
    const detail = { presented: 1, current: 3, last_address: null }
    return endStolenSession({ ...byCommand(ctx), actor: { kind: 'server' } }, { ...sessionOf(story), detail })
  },
  'a code used twice': ({ server: { ctx } }, story) => {
    const detail = { presented_by: 'x', last_address: null }
    return endReplayedSession(
      { ...byCommand(ctx), actor: { kind: 'nobody', caller } },
      { ...sessionOf(story), detail },
    )
  },
  'a disabled user': ({ server: { ctx } }, { user }) =>
    endSessionsOfUser(byCommand(ctx), user.id, { reason: 'user disabled' }),
  "the end of all the app's": ({ server: { ctx } }, { app }) =>
    endSessionsOfClient(byCommand(ctx), app.id, 'client disabled'),
}

await forEachEngine(
  t,
  'what ends a session ends all that was exchanged from it, at each API',
  async (t, env) => {
    const all = await world(t, env)
    const { server, clients, begin, kit, following, ask } = all
    const pushed = {
      orders: await following(clients.orders, orders),
      invoices: await following(clients.invoices, invoices),
    }
    const stories = new Map<string, Story>()
    for (const name of Object.keys(ends)) stories.set(name, await begin())
    const bystander = await begin()
    const isGood = (verifier: { verify(token: string): Promise<AccessToken> }, token: string) =>
      verifier.verify(token).then(
        () => true,
        () => false,
      )
    for (const { atOrders, plain, atInvoices } of [...stories.values(), bystander]) {
      t.match(await server.introspect(clients.orders, atOrders), { active: true, act: { sub: /^agent/ } })
      t.match(await server.introspect(clients.invoices, atInvoices), { active: true, act: { sub: 'orders' } })
      t.ok(await isGood(pushed.orders, atOrders))
      t.ok(await isGood(pushed.orders, plain))
      t.ok(await isGood(pushed.invoices, atInvoices))
    }
    server.tick(3)
    for (const [name, story] of stories) {
      await ends[name]?.(all, story)
      await server.follow()
      await tell(server)
      t.strictSame(await server.introspect(clients.orders, story.atOrders), { active: false }, name)
      t.strictSame(await server.introspect(clients.invoices, story.atInvoices), { active: false }, name)
      isOAuthError(
        t,
        await ask(clients.orders, story.plain),
        400,
        'invalid_request',
        `${name}: no further exchange`,
      )
      // Both hear of it, though the app has no tokens for either.
      while (await isGood(pushed.orders, story.atOrders)) await setImmediate()
      while (await isGood(pushed.invoices, story.atInvoices)) await setImmediate()
    }
    // Those of the last seconds are named, each to who may know of it.
    const late = await begin()
    await endSessionsOfClient(byCommand(server.ctx), late.app.id, 'command')
    await tell(server)
    while (await isGood(pushed.orders, late.plain)) await setImmediate()
    const listed = kit(invoices)
    server.tick(61)
    await server.follow()
    for (const [name, { atInvoices }] of stories) t.notOk(await isGood(listed, atInvoices), `${name}: listed`)
    t.ok(await isGood(listed, bystander.atInvoices))
    t.ok(await isGood(pushed.invoices, bystander.atInvoices))
    t.match(await server.introspect(clients.orders, bystander.atOrders), { active: true })
  },
)

await forEachEngine(t, 'who has exchanged a token, or acts with it, ends it too', async (t, env) => {
  const { server, clients, begin, following, ask, exchange, machine } = await world(t, env)
  const { ctx } = server
  const pushed = await following(clients.orders, orders)
  const refused = async (token: string) => {
    await server.follow()
    await tell(server)
    t.strictSame(await server.introspect(clients.orders, token), { active: false })
    isOAuthError(t, await ask(clients.orders, token), 400, 'invalid_request', 'and no further exchange')
    for (;;) {
      try {
        await pushed.verify(token)
      } catch {
        return
      }
      await setImmediate()
    }
  }
  const one = await begin()
  server.tick(3)
  await endSessionsOfClient(byCommand(ctx), one.gateway.id, 'command')
  await refused(one.plain)
  t.match(await server.introspect(one.app, one.tokens.access_token), { active: true }, 'the session goes on')
  const again = await exchange(one.gateway, one.tokens.access_token, { resource: orders })
  t.match(await server.introspect(clients.orders, again), { active: true }, 'as does its next exchange')
  t.ok(await pushed.verify(again))

  const two = await begin()
  await server.revoke(two.agent, await machine(two.agent))
  await refused(two.atOrders)
  t.match(
    await server.introspect(clients.orders, two.plain),
    { active: true },
    'where the agent does not act',
  )
  t.ok(await pushed.verify(two.plain))

  const three = await begin()
  const gone = parseUuid(String(claimsOf(three.plain)['client_sid'])) ?? Buffer.alloc(0)
  await ctx.db.sql.deleteFrom('sessions').where('id', '=', gone).execute()
  t.strictSame(
    await server.introspect(clients.orders, three.plain),
    { active: false },
    'a session that is gone',
  )
})

await forEachEngine(t, 'who had a part early in a chain ends all that came of it', async (t, env) => {
  const { server, clients, begin, following, ask, exchange, machine } = await world(t, env)
  const pushed = await following(clients.invoices, invoices)
  const isGood = (token: string) => pushed.verify(token).then(...[() => true, () => false])
  const ended = async (token: string, name: string) => {
    await server.follow()
    await tell(server)
    t.strictSame(await server.introspect(clients.invoices, token), { active: false }, name)
    isOAuthError(t, await ask(clients.invoices, token), 400, 'invalid_request', `${name}: no more exchange`)
    while (await isGood(token)) await setImmediate()
  }
  const one = await begin()
  server.tick(3)
  const acted = await exchange(clients.orders, one.atOrders, { resource: invoices })
  const [client_id, sid] = [one.gateway.id, claimsOf(one.plain)['client_sid']]
  t.strictSame(claimsOf(one.atInvoices)['earlier_sessions'], [{ client_id, sid }])
  t.equal(claimsOf(one.plain)['earlier_sessions'], undefined)
  const own = await exchange(clients.orders, acted, { resource: orders })
  t.strictSame(
    claimsOf(own)['earlier_sessions'],
    [{ sid, client_id }, { sid: claimsOf(await machine(one.agent))['sid'] }],
    'each once, and not its own client',
  )
  t.ok((await isGood(acted)) && (await isGood(one.atInvoices)))
  await server.revoke(one.agent, await machine(one.agent))
  await ended(acted, 'an actor below the top')
  t.match(await server.introspect(clients.invoices, one.atInvoices), { active: true })
  t.ok(await isGood(one.atInvoices), 'where it does not act')
  await endSessionsOfClient(byCommand(server.ctx), one.gateway.id, 'command')
  await ended(one.atInvoices, 'the client in the middle')
  t.match(await server.introspect(one.app, one.tokens.access_token), { active: true })

  const two = await begin()
  await changeClient(server.ctx.db, two.gateway.id, { may_impersonate: 1 })
  await server.follow()
  const actor = await exchange(two.gateway, two.tokens.access_token, { resource: orders })
  const byActor = await exchange(clients.orders, (await begin()).plain, {
    ...{ resource: invoices, actor_token: actor, actor_token_type: jwtType },
  })
  await endSessionsOfClient(byCommand(server.ctx), two.gateway.id, 'command')
  await ended(byActor, 'the client that exchanged the token of the actor')
})

await forEachEngine(t, 'an end is told along all chains, whatever stands first', async (t, env) => {
  const { server, exchanger } = await exchangeWorld(t, env)
  const [first, second, third, aside] = ['1', '2', '3', 'x'].map(name => `https://${name}.example`)
  for (const uri of [first, second, third, aside]) await server.resource(uri ?? '')
  for (const [introspects = '', resources = ''] of [
    [second, third],
    [third, second],
    [first, second],
    [aside, `${first} ${aside}`],
  ])
    await exchanger(`of-${introspects.slice(8)}`, { introspects, resources })
  const app = await server.client('app', { resources: first ?? '' })
  const bob = await server.user('bob')
  const told = async () => {
    await server.revoke(app, (await server.logIn(app, bob)).refresh_token)
    const events = await listEvents(server.ctx.db, { from: 1, limit: 10 })
    return events.at(-1)?.audiences
  }
  t.equal(await told(), [first, second, third].join(' '))
  const { db } = server.ctx
  await changeClient(db, 'of-1.example', { scope: '' })
  t.equal(await told(), [first, second, third].join(' '), 'another change is none of it')
  await changeClient(db, 'of-1.example', { grant_types: 'client_credentials' })
  t.equal(await told(), first, 'it exchanges no more')
  await changeClient(db, 'of-1.example', { grant_types: tokenExchange })
  t.equal(await told(), [first, second, third].join(' '))
  await deleteClient(db, 'of-2.example', 1)
  t.equal(await told(), [first, second].join(' '))
  t.equal((await db.sql.selectFrom('exchangers').selectAll().execute()).length, 7, 'a row for each there is')
})

t.test('no exchange outlives the session, whatever has become of its limits', async t => {
  const { server, clients, begin, ask } = await world(t)
  const story = await begin()
  const { sessionId } = sessionOf(story)
  const at = server.ctx.clock.now()
  await server.ctx.db.sql
    .updateTable('sessions')
    .set({ expires_at: at + 40 })
    .where('id', '=', sessionId)
    .execute()
  const { access_token, expires_in } = (await ask(story.gateway, story.tokens.access_token)).json()
  t.equal(expires_in, 40)
  server.tick(40)
  t.strictSame(await server.introspect(clients.orders, access_token), { active: false })
  t.strictSame(await server.introspect(clients.orders, story.plain), { active: false })
  isOAuthError(t, await ask(story.gateway, story.tokens.access_token), 400, 'invalid_request', 'it has ended')
})

t.test(
  'a token that was exchanged is for APIs: it is nothing here, and its holder cannot revoke it',
  async t => {
    const { server, clients, begin, exchange, machine, exchanger } = await world(t)
    const root = await server.client('root', { is_admin: 1 })
    const { app, gateway: own, tokens, plain, atOrders } = await begin()
    isOAuthError(t, await server.revoke(own, plain), 400, 'unsupported_token_type', 'by its holder')
    for (const [who, caller] of Object.entries({ app, stranger: clients.stranger, api: clients.orders }))
      t.strictSame((await server.revoke(caller, plain)).json(), {}, `by the ${who} nothing happens`)
    t.match(await server.introspect(clients.orders, plain), { active: true, client_id: own.id })
    for (const caller of [own, root])
      t.match(
        await server.introspect(caller, plain),
        { active: true },
        'its holder may ask, and an administrator',
      )
    for (const caller of [app, clients.stranger, clients.invoices])
      t.strictSame(await server.introspect(caller, plain), { active: false }, 'others may not')

    const issuer = 'https://as.example'
    const forUs = await server.ctx.keys.sign('at+jwt', 'ES256', {
      ...claimsOf(plain),
      aud: issuer,
      scope: 'openid admin:write ssf.manage',
    })
    for (const [method, url] of [
      ['GET', '/userinfo'],
      ['GET', '/events'],
      ['GET', '/admin/v1/users'],
      ['GET', '/ssf/streams'],
    ] as const) {
      const { statusCode, headers } = await server.request({
        method,
        url,
        headers: { authorization: `Bearer ${forUs}` },
      })
      t.equal(statusCode, 401, url)
      t.match(headers['www-authenticate'], /invalid_token/)
    }
    t.equal((await server.revoke(root, atOrders)).statusCode, 200)
    t.strictSame(
      await server.introspect(root, tokens.access_token),
      { active: false },
      'an administrator ends the session',
    )

    const solo = await exchanger('solo', { resources: orders, scope: 'orders:read' })
    const narrowed = await exchange(solo, await machine(solo))
    t.equal((await server.revoke(solo, narrowed)).statusCode, 200, 'of a session of its own it may')
    t.strictSame(await server.introspect(solo, narrowed), { active: false })
  },
)
