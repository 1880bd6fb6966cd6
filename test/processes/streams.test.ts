import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forPostgresFirst } from '../helpers/engines.ts'
import { refresh, startFleet } from '../helpers/fleet.ts'
import { startReceivers, toLoopback } from '../helpers/receivers.ts'
import { accepted, sidOf } from '../helpers/streams.ts'

await forPostgresFirst(
  t,
  'invariant 25: an event is pushed if and only if its act was done, also where the server is killed between',
  async (t, env) => {
    const fleet = await startFleet(t, { ...env, ...toLoopback })
    const receivers = await startReceivers(t)
    receivers.answer('/signals', accepted)
    const cli = commandLine(t, fleet.home)
    const call = (args: string) => cli.succeed(args, { env: fleet.env })
    await call('client create --id api --grant client_credentials --resource-server https://api.example')
    await call(`stream create --client api --push ${receivers.origin}/signals`)
    const told = () =>
      new Set(receivers.at('/signals').map(({ body }) => Object(claimsOf(body)['sub_id']).session.id))

    let instance = await fleet.start()
    const logIn = async () => {
      const form = { client_id: 'app', username: 'ada', password: 'correct horse battery staple' }
      const { body } = await instance.post('/token', { grant_type: 'password', ...form })
      return { sid: sidOf(body.access_token), token: String(body.refresh_token) }
    }
    const revoke = (token: string) => instance.post('/revoke', { client_id: 'app', token })
    const [answered, spared] = [[await logIn(), await logIn()], await logIn()]
    const unanswered = [await logIn()]
    const restart = async () => {
      await instance.kill()
      const before = told()
      instance = await fleet.start()
      return before
    }
    let between = 0
    for (const { sid, token } of answered) {
      t.equal((await revoke(token)).status, 200)
      if (!(await restart()).has(sid)) between++
    }
    t.ok(between > 0, 'a server was killed after the act, and before it was told')
    for (const { token } of unanswered) {
      const asked = revoke(token).catch(() => undefined)
      await sleep(Math.random() * 10)
      await restart()
      await asked
    }
    const ended = new Set(answered.map(({ sid }) => sid))
    for (const { sid, token } of [...unanswered, spared])
      if ((await refresh(instance.url, token)).kind === 'refused') ended.add(sid)
    // Where it was killed while it pushed, the claim on the receiver has to end first: after a minute.
    for (let i = 0; i < 1800 && told().size < ended.size; i++) await sleep(50)
    await sleep(100)
    t.strictSame([...told()].toSorted(), [...ended].toSorted())
    t.notOk(ended.has(spared.sid))
  },
)
