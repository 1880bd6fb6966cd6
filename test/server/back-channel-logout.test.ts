import { decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import { endSignIns } from '../../src/endings/end-sign-ins.ts'
import { byCommand } from '../helpers/by-command.ts'
import { codeFor, forLogIns } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { deliver, startReceivers, toLoopback } from '../helpers/receivers.ts'
import { startServer, type TestClient, type TestServer } from '../helpers/server.ts'

async function world(t: Test, env: EngineEnv) {
  const server = await startServer(t, { ...env, ...toLoopback })
  const receivers = await startReceivers(t)
  const client = (id: string, more: object = {}) =>
    server.client(id, { ...forLogIns, back_channel_logout_uri: `${receivers.origin}/${id}`, ...more })
  const tokens = (id: string) =>
    receivers.at(`/${id}`).map(({ body }) => new URLSearchParams(body).get('logout_token') ?? '')
  return { server, receivers, client, tokens, by: byCommand(server.ctx) }
}

/** Logs in by a code, and returns what came back, and the sign-in. */
async function logIn(
  server: TestServer,
  client: TestClient,
  user: { readonly id: Buffer },
  scope = 'openid',
  at?: Awaited<ReturnType<typeof codeFor>>['signIn'],
) {
  const { form, signIn, sessionId } = await codeFor(server, client, user as never, {
    scope,
    ...(at && { signIn: at }),
  })
  const response = await server.post('/token', { ...form, ...client.form })
  if (response.statusCode !== 200) throw new Error(response.body)
  return { signIn, sessionId, tokens: response.json() as { readonly id_token: string } }
}

await forEachEngine(
  t,
  'a log-out is told to each client that has a session of the sign-in',
  async (t, env) => {
    const { server, client, tokens, by } = await world(t, env)
    const ada = await server.user()
    const [one, two, quiet] = [
      await client('one'),
      await client('two'),
      await client('quiet', { back_channel_logout_uri: null }),
    ]
    const first = await logIn(server, one, ada)
    await logIn(server, two, ada, 'openid', first.signIn)
    await logIn(server, quiet, ada, 'openid', first.signIn)
    await endSignIns(by, [first.signIn.id], { reason: 'log-out' })
    await deliver(server)
    t.equal(tokens('one').length, 1)
    t.equal(tokens('two').length, 1)
    t.equal(tokens('quiet').length, 0)
    t.match(decodeProtectedHeader(tokens('one')[0] ?? ''), { typ: 'logout+jwt', alg: 'RS256' })
  },
)
