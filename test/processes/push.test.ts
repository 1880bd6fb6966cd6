import { EventSource } from 'eventsource'
import t from 'tap'
import { announceThrough, killing } from '../helpers/announced.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forPostgresFirst } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'

await forPostgresFirst(t, 'invariant 25: what is revoked is announced through kills', async (t, env) => {
  await announceThrough(t, await startFleet(t, env), { revocations: 20, trouble: killing(2) })
})

t.test('a library that knows nothing of us hears within a moment, at any server', async t => {
  const fleet = await startFleet(t, {})
  const [one, other] = [await fleet.start(), await fleet.start()]
  const api = await fleet.apiClient()
  const source = new EventSource(`${one.url}/events`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init?.headers, ...api } }),
  })
  t.teardown(() => source.close())
  await new Promise(resolve => source.addEventListener('open', resolve))
  const form = { client_id: 'app', username: 'ada', password: 'correct horse battery staple' }
  const { body } = await other.post('/token', { grant_type: 'password', ...form })
  const heard = new Promise<MessageEvent>(resolve => source.addEventListener('session', resolve))
  await other.post('/revoke', { client_id: 'app', token: body.refresh_token })
  const answeredAt = performance.now()
  const { data, lastEventId } = await heard
  t.comment(`heard ${Math.round(performance.now() - answeredAt)} ms after the answer`)
  t.match(JSON.parse(data), { sid: claimsOf(body.access_token)['sid'], client_id: 'app', reason: 'client' })
  t.match(lastEventId, /^mm_ec_/)

  // It connects again by itself, and goes on.
  const next = new Promise<MessageEvent>(resolve => source.addEventListener('session', resolve))
  const lost = new Promise(resolve => source.addEventListener('error', resolve))
  const port = new URL(one.url).port
  await one.kill()
  await lost
  const second = await other.post('/token', { grant_type: 'password', ...form })
  await other.post('/revoke', { client_id: 'app', token: second.body.refresh_token })
  await fleet.start({ MINTMARK_PORT: port })
  t.match(JSON.parse((await next).data), { sid: claimsOf(second.body.access_token)['sid'] })
})
