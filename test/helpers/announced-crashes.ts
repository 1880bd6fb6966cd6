import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { readEvents } from '../../src/values/event-source.ts'
import { claimsOf } from './codes.ts'
import { refresh, type Fleet, type Instance } from './fleet.ts'

export interface AnnouncedCrashes {
  readonly revocations: number
  readonly kills: number
}

interface LogIn {
  readonly sid: string
  readonly refreshToken: string
}

/**
 * Sessions are revoked at three servers on one database, which are killed with SIGKILL at moments of chance.
 * Listeners, at any of them and at another one after each cut, hear of every revocation that was answered,
 * and of none that did not happen (invariant 25).
 */
export async function announceThroughCrashes(
  t: Test,
  fleet: Fleet,
  { revocations, kills }: AnnouncedCrashes,
): Promise<void> {
  const api = await fleet.apiClient()
  const start = () => fleet.start({ MINTMARK_SESSIONS_PER_USER: '10000' })
  const instances = [await start(), await start(), await start()]
  const anyOne = (): Instance => {
    const instance = instances[Math.floor(Math.random() * instances.length)]
    if (!instance) throw new Error('unreachable: there are three')
    return instance
  }
  const logIns: LogIn[] = []
  while (logIns.length < revocations) logIns.push(await logIn(anyOne()))

  const stopping = new AbortController()
  const heard = [new Set<string>(), new Set<string>(), new Set<string>()]
  let resets = 0
  const listening = heard.map(sids => listen({ anyOne, api, signal: stopping.signal }, sids, () => resets++))
  await sleep(200)

  const answered = new Set<string>()
  const spared = logIns.slice(0, Math.ceil(revocations / 10))
  const revoked = logIns.slice(spared.length)
  let next = 0
  const revoke = async () => {
    for (let one = revoked[next++]; one; one = revoked[next++]) {
      while (!answered.has(one.sid)) {
        const form = { client_id: 'app', token: one.refreshToken }
        const answer = await anyOne()
          .post('/revoke', form)
          .catch(() => undefined)
        if (answer?.status === 200) answered.add(one.sid)
      }
      await sleep(Math.random() * 20)
    }
  }
  const kill = async () => {
    for (let i = 0; i < kills; i++) {
      await sleep(Math.random() * 300)
      const victim = anyOne()
      await victim.kill()
      instances[instances.indexOf(victim)] = await start()
    }
  }
  await Promise.all([revoke(), revoke(), revoke(), kill()])
  const isAll = (sids: ReadonlySet<string>) => revoked.every(({ sid }) => sids.has(sid))
  for (let i = 0; i < 600 && !heard.every(isAll); i++) await sleep(50)
  stopping.abort()
  await Promise.all(listening)

  t.equal(answered.size, revoked.length)
  t.equal(resets, 0, 'none has missed what it cannot be told')
  for (const sids of heard) {
    t.strictSame(
      revoked.filter(({ sid }) => !sids.has(sid)),
      [],
      `all of ${revoked.length} are heard of`,
    )
    t.strictSame(
      spared.filter(({ sid }) => sids.has(sid)),
      [],
      'and none that goes on',
    )
  }
  for (const { refreshToken } of spared) t.equal((await refresh(anyOne().url, refreshToken)).kind, 'token')
  t.comment(`${kills} kills, ${revoked.length} revocations`)
}

async function logIn(instance: Instance): Promise<LogIn> {
  const { status, body } = await instance.post('/token', {
    grant_type: 'password',
    client_id: 'app',
    username: 'ada',
    password: 'correct horse battery staple',
  })
  if (status !== 200) throw new Error(`the log-in was answered ${status}`)
  return { sid: String(claimsOf(body.access_token)['sid']), refreshToken: body.refresh_token }
}

interface Listening {
  readonly anyOne: () => Instance
  readonly api: { readonly authorization: string }
  readonly signal: AbortSignal
}

/** Listens until the end, at one server after the other. */
async function listen(
  { anyOne, api, signal }: Listening,
  sids: Set<string>,
  onReset: () => void,
): Promise<void> {
  let lastEventId = ''
  while (!signal.aborted) {
    try {
      const headers = { ...api, ...(lastEventId !== '' && { 'last-event-id': lastEventId }) }
      const response = await fetch(`${anyOne().url}/events`, { headers, signal })
      const reader = readEvents(({ event, data }) => {
        if (event === 'session') sids.add(String(JSON.parse(data).sid))
        if (event === 'reset') onReset()
      }, lastEventId)
      for await (const chunk of response.body ?? []) {
        reader.take(chunk)
        lastEventId = reader.lastEventId()
      }
    } catch {
      await sleep(20)
    }
  }
}
