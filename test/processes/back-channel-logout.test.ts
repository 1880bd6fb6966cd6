import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { claimsOf } from '../helpers/codes.ts'
import { commandLine } from '../helpers/cli.ts'
import { forPostgresFirst } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'
import { startReceivers, status, toLoopback } from '../helpers/receivers.ts'
import { shareOf } from '../helpers/runs.ts'

const password = 'correct horse battery staple'
const sessions = shareOf(8)

await forPostgresFirst(
  t,
  'what has ended is told to its client through kills, and beside one that is away',
  async (t, env) => {
    const fleet = await startFleet(t, { ...env, ...toLoopback })
    const receivers = await startReceivers(t)
    const cli = commandLine(t, fleet.home)
    const call = (args: string) => cli.succeed(args, { env: fleet.env })
    await call('resource create https://people.example --scope read openid')
    const root = (await call('client create --id root --admin --grant client_credentials --json')).json()
    for (const id of ['told', 'away']) {
      await call(
        `client create --id ${id} --public --grant authorization_code password refresh_token --scope read openid ` +
          `--redirect-uri https://${id}.example/callback --resource https://people.example ` +
          `--back-channel-logout-uri ${receivers.origin}/${id}`,
      )
    }
    receivers.answer('/told', status(503))
    receivers.answer('/away', response => void response.destroy())
    const instances = [await fleet.start(), await fleet.start()]
    const logIn = async (client_id: string) => {
      const form = { grant_type: 'password', client_id, username: 'ada', password, scope: 'read openid' }
      const { body } = await (instances[0] as (typeof instances)[0]).post('/token', form)
      return { sid: claimsOf(body.access_token)['sid'], token: String(body.refresh_token) }
    }
    const logIns: Awaited<ReturnType<typeof logIn>>[] = []
    for (let i = 0; i < sessions; i++) logIns.push(await logIn('told'))
    const away = await logIn('away')
    const spared = await logIn('told')

    const ended = new Set<unknown>()
    for (const [i, one] of [away, ...logIns].entries()) {
      const instance = instances[i % 2] as (typeof instances)[0]
      const { client_id, client_secret } = root
      const answer = await instance.post('/revoke', { client_id, client_secret, token: one.token })
      t.equal(answer.status, 200)
      if (one !== away) ended.add(one.sid)
      if (i % 3 !== 1) continue
      await sleep(Math.random() * 300)
      await instance.kill()
      instances[i % 2] = await fleet.start()
    }
    receivers.answer('/told', status(200))
    const told = new Set<unknown>()
    const look = () => {
      for (const { body } of receivers.at('/told'))
        told.add(claimsOf(new URLSearchParams(body).get('logout_token') ?? '')['sid'])
    }
    const isAll = () => told.size >= ended.size && receivers.at('/away').length > 0
    for (let i = 0; i < 2400 && !isAll(); i++) {
      await sleep(50)
      look()
    }
    t.strictSame([...told].toSorted(), [...ended].toSorted())
    t.notOk(told.has(spared.sid), 'and nothing that has not ended')
    t.ok(receivers.at('/away').length >= 1, 'the other one was tried')
  },
)
