import t from 'tap'
import { fuzz } from './fuzz.ts'
import { secretCanary } from './loot.ts'
import { startServer } from '../helpers/server.ts'

t.test('whatever is sent, there is no 5xx, no hang, no echo, and no secret in the log', async t => {
  const server = await startServer(t)
  await server.resource('https://api.example')
  const client = await server.client('web', {
    resources: 'https://api.example',
    introspects: 'https://api.example',
  })
  const user = await server.user()
  const { access_token, refresh_token } = await server.logIn(client, user)
  const other = await server.logIn(client, user)
  const admin = await server.client('admin', { is_admin: 1 })
  const machine = await server.post('/token', { grant_type: 'client_credentials', ...admin.form })
  const url = await server.listen()
  const jwks = await (await fetch(`${url}/.well-known/jwks.json`)).text()
  const statuses = await fuzz({
    url,
    loot: {
      clientId: client.id,
      clientSecret: String(client.secret),
      username: user.username,
      accessToken: access_token,
      refreshToken: refresh_token,
      adminToken: machine.json().access_token,
      jwks,
    },
    // `npm run fuzz` takes another one each time, and goes on for longer.
    seed: 6749,
    runs: 700,
    milliseconds: 60_000,
  })
  for (const status of [200, 400, 401, 404, 405, 415]) {
    t.ok((statuses.get(status) ?? 0) > 0, `${statuses.get(status)} of the requests were answered ${status}`)
  }
  t.notOk(
    server.log.some(line => JSON.stringify(line).includes(secretCanary)),
    'H-14',
  )
  t.ok(await server.refresh(client, other.refresh_token), 'and an honest client is served as before')
})
