import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import type { ClientTable, SessionTable } from '../../db/schema.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { isOAuthError, startServer, type TestServer } from '../helpers/server.ts'
import { proofClaims, proofHeader, signJwt, testKey } from '../helpers/proofs.ts'
import { bytesOf } from '../helpers/refresh-tokens.ts'

const proxy = '10.0.0.1'

/** The headers of a request that shows a key, or shows none. */
type Show = (nonce: string) => Promise<Record<string, string>> | Record<string, string>
const nothing: Show = () => ({})

/** What a session is bound to: a new one at each call. */
const kinds: [title: string, settings: Partial<ClientTable>, key: (now: () => number) => Promise<Show>][] = [
  [
    'a DPoP key',
    {},
    async now => {
      const key = await testKey()
      return async nonce => ({ dpop: await signJwt(key, proofHeader(key), proofClaims(now(), { nonce })) })
    },
  ],
  [
    'a certificate',
    { tls_bound: 1 },
    async () => {
      const { field } = await testCertificate()
      return () => ({ 'client-cert': field })
    },
  ],
]

const openServer = (t: Test, env: EngineEnv) =>
  startServer(t, { ...env, MINTMARK_TRUST_PROXY: proxy, MINTMARK_CLIENT_CERT: 'verified' })

/**
 * A public client whose session was begun without a key, and bound by its second refresh; and a database that
 * goes back to what it was before that.
 */
async function world(server: TestServer, [, settings, newKey]: (typeof kinds)[number], policy: Policy) {
  const { db } = server.ctx
  const { now } = server.ctx.clock
  const client_id = `app-${randomUUID()}`
  await server.client(client_id, { isPublic: true, refresh_policy: policy })
  const user = await server.user(client_id)
  const [key, thief] = [await newKey(now), await newKey(now)]
  const post = async (form: Record<string, string>, show: Show) => {
    const send = (headers: Record<string, string>) =>
      server.request({
        method: 'POST',
        url: '/token',
        payload: new URLSearchParams({ client_id, ...form }).toString(),
        remoteAddress: proxy,
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      })
    const { headers } = await send({ dpop: 'x' })
    return send(await show(String(headers['dpop-nonce'])))
  }
  const present = (refresh_token: string, show: Show = nothing) =>
    post({ grant_type: 'refresh_token', refresh_token }, show)
  const refresh = async (refreshToken: string, show: Show = nothing): Promise<string> => {
    const response = await present(refreshToken, show)
    if (response.statusCode !== 200) throw new Error(response.body)
    return response.json().refresh_token
  }
  const { username, password } = user
  const first = (await post({ grant_type: 'password', username, password }, nothing)).json()
  const sid = JSON.parse(Buffer.from(first.access_token.split('.')[1], 'base64url').toString()).sid
  const session = async () => {
    const found = await findSession(db, parseUuid(sid) ?? Buffer.alloc(0))
    if (!found) throw new Error('unreachable')
    return found
  }
  const backup = await session()
  // Only from then on it must show a certificate.
  if (settings.tls_bound) await changeClient(db, client_id, settings)
  await server.follow()
  const bound = await refresh(first.refresh_token, key)
  const binding = (await session()).key_thumbprint
  server.tick(60)
  await db.sql.updateTable('sessions').set(rowOf(backup)).where('id', '=', backup.id).execute()
  return {
    server,
    key,
    thief,
    present,
    refresh,
    session,
    backup,
    binding,
    bound,
    old: String(first.refresh_token),
  }
}

type Policy = ClientTable['refresh_policy']

/** What a refresh changes. */
const rowOf = ({ generation, key_thumbprint, bound_generation, ...row }: SessionTable) => {
  const { window_generation, window_opened_at, rotated_at, expires_at } = row
  const times = { window_generation, window_opened_at, rotated_at, expires_at }
  return { generation, key_thumbprint, bound_generation, ...times }
}

const cases = kinds.flatMap(kind =>
  (['rotate', 'strict', 'reuse'] as const).map(policy => [kind, policy] as const),
)

await forEachEngine(
  t,
  'Q-9 R-16 a session that was bound to a key since the backup that was restored is bound again by its own token',
  async (t, env) => {
    const server = await openServer(t, env)
    for (const [kind, policy] of cases) {
      const w = await world(server, kind, policy)
      t.equal(bytesOf(w.old).length, 57, 'a token that needs no key is as ever')
      t.equal(bytesOf(w.bound).length, 75, 'one that does has room for it')
      t.equal(w.binding?.length, 32)
      for (const show of [nothing, w.thief]) {
        const response = await w.present(w.bound, show)
        t.equal(response.statusCode, 400, `${kind[0]}, ${policy}: without its key, it is of no use`)
        t.strictSame(rowOf(await w.session()), rowOf(w.backup), 'and changes nothing')
      }
      const isRaced = policy === 'rotate'
      const answers = await Promise.all(
        Array.from({ length: isRaced ? 5 : 1 }, () => w.refresh(w.bound, w.key)),
      )
      t.equal(new Set(answers).size, 1)
      const newest = answers[0] ?? ''
      t.equal(newest === w.bound, policy === 'reuse', 'the client goes on')
      t.match(await w.session(), { key_thumbprint: w.binding, bound_generation: 1, revoked_at: null })
      for (const show of [nothing, w.thief]) t.equal((await w.present(newest, show)).statusCode, 400, 'bound')
      isOAuthError(t, await w.present(w.old, w.thief), 400, 'invalid_grant', 'the token of before')
      t.match(await w.session(), { revoke_reason: 'theft' }, 'which is theft, as it was')
    }
  },
)

await forEachEngine(
  t,
  'of a session that has forgotten its key, whoever came first with a token of before does not stay',
  async (t, env) => {
    const server = await openServer(t, env)
    const admin = await server.client('admin', { is_admin: 1 })
    for (const [kind, policy] of cases) {
      const w = await world(server, kind, policy)
      const isActive = async () => (await server.introspect(admin, w.bound))['active']
      t.equal(await isActive(), true)
      const stolen = await w.refresh(w.old, w.thief)
      t.equal(await isActive(), false, `${kind[0]}, ${policy}: bound to a key of his own, it is told`)
      isOAuthError(t, await w.present(w.bound, w.key), 400, 'invalid_grant', 'the client')
      t.match(await w.session(), { revoke_reason: 'theft' })
      isOAuthError(t, await w.present(stolen, w.thief), 400, 'invalid_grant', 'and the thief')

      // A client with certificates must show one.
      if (kind[1].tls_bound) continue
      const once = await world(server, kind, policy)
      const current = await once.refresh(once.old)
      const newest = await once.refresh(once.bound, once.key)
      t.match(await once.session(), { generation: 2, key_thumbprint: once.binding, revoked_at: null })
      isOAuthError(
        t,
        await once.present(current),
        400,
        'invalid_grant',
        `${kind[0]}, ${policy}: without a key, for once`,
      )
      t.not(newest, once.bound)

      const twice = await world(server, kind, policy)
      const second = await twice.refresh(await twice.refresh(twice.old))
      isOAuthError(t, await twice.present(twice.bound, twice.key), 400, 'invalid_grant', 'for twice')
      t.match(await twice.session(), { revoke_reason: 'theft' })
      isOAuthError(t, await twice.present(second), 400, 'invalid_grant', 'there are two holders')
    }
  },
)
