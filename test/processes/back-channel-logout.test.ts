import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { claimsOf } from '../helpers/codes.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'
import { startReceivers, status, toLoopback } from '../helpers/receivers.ts'

const password = 'correct horse battery staple'
const sessions = 8

await forEachEngine(
  t,
  'what has ended is told to its client through kills, and beside one that is away',
  async (t, env) => {
    const fleet = await startFleet(t, { ...env, ...toLoopback })
    const receivers = await startReceivers(t)
    const { call } = commandLine(t, fleet.home)
    for (const id of ['told', 'away']) {
      const made = await call(
        `client create --id ${id} --public --grant password refresh_token --scope read openid ` +
          `--resource https://api.example --back-channel-logout-uri ${receivers.origin}/${id}`,
        { env: fleet.env },
      )
      t.equal(made.code, 0, made.stderr)
    }
    receivers.answer('/told', status(503))
    receivers.answer('/away', response => void response.destroy())
    const instances = [await fleet.start(), await fleet.start()]
    const logIn = async (client_id: string) => {
      const form = { grant_type: 'password', client_id, username: 'ada', password, scope: 'read openid' }
      const { body } = await (instances[0] as (typeof instances)[0]).post('/token', form)
      return String(body.id_token)
    }
    const idTokens: string[] = []
    for (let i = 0; i < sessions; i++) idTokens.push(await logIn('told'))
    const away = await logIn('away')
    const spared = await logIn('told')

    const ended = new Set<unknown>()
    for (const [i, hint] of [away, ...idTokens].entries()) {
      const instance = instances[i % 2] as (typeof instances)[0]
      const answer = await fetch(`${instance.url}/log-out?id_token_hint=${hint}`)
      t.equal(answer.status, 200)
      if (hint !== away) ended.add(claimsOf(hint)['sid'])
      if (i % 3 !== 2) continue
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
    for (let i = 0; i < 2400 && told.size < ended.size; i++) {
      await sleep(50)
      look()
    }
    t.strictSame([...told].toSorted(), [...ended].toSorted())
    t.notOk(told.has(claimsOf(spared)['sid']), 'and nothing that has not ended')
    t.ok(receivers.at('/away').length >= 1, 'the other one was tried')
  },
)
