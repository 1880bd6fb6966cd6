import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { readEvents } from '../../src/values/event-source.ts'
import { commandLine } from './cli.ts'
import { claimsOf } from './codes.ts'
import { refresh, type Fleet, type Instance } from './fleet.ts'
import { startReceivers, toLoopback } from './receivers.ts'
import { isInFull } from './runs.ts'

interface LogIn {
  readonly sid: string
  readonly refreshToken: string
}

/** What is done to servers while they revoke sessions and tell of it. */
export interface Trouble {
  /** The servers, of which one that was killed is to be replaced. */
  readonly instances: Instance[]
  readonly start: () => Promise<Instance>
  /** How many revocations were answered so far. */
  readonly answered: () => number
}

export interface Announced {
  readonly revocations: number
  readonly trouble: (trouble: Trouble) => Promise<void>
}

/** Kills servers with SIGKILL at moments of chance. */
export const killing =
  (kills: number) =>
  async ({ instances, start }: Trouble): Promise<void> => {
    for (let i = 0; i < kills; i++) {
      await sleep(Math.random() * 300)
      const victim = anyOf(instances)
      await victim.kill()
      instances[instances.indexOf(victim)] = await start()
    }
  }

function anyOf(instances: readonly Instance[]): Instance {
  const instance = instances[Math.floor(Math.random() * instances.length)]
  if (!instance) throw new Error('unreachable: there are three')
  return instance
}

/**
 * Sessions are revoked at three servers on one database, which have trouble in between. Listeners, at any
 * of them and at another one after each cut, hear of every revocation that was answered, and of none that did
 * not happen (invariant 25); and in test:long so does a receiver of security events.
 */
export async function announceThrough(
  t: Test,
  fleet: Fleet,
  { revocations, trouble }: Announced,
): Promise<void> {
  const api = await fleet.apiClient()
  const told = isInFull ? [await startReceiver(t, fleet)] : []
  const start = () => fleet.start({ MINTMARK_SESSIONS_PER_USER: '10000', ...toLoopback })
  const instances = [await start(), await start(), await start()]
  const anyOne = () => anyOf(instances)
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
  const disturb = () => trouble({ instances, start, answered: () => answered.size })
  await Promise.all([revoke(), revoke(), revoke(), disturb()])
  const isAll = (sids: ReadonlySet<string>) => revoked.every(({ sid }) => sids.has(sid))
  for (let i = 0; i < patience && ![...heard, ...told].every(isAll); i++) await sleep(50)
  stopping.abort()
  await Promise.all(listening)

  t.equal(answered.size, revoked.length)
  t.equal(resets, 0, 'none has missed what it cannot be told')
  for (const sids of [...heard, ...told]) {
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
}

/** A receiver whose server has died with a claim on it is taken over after a minute. */
const patience = 3000

/** Returns the sessions that a receiver is told of, which takes everything. */
async function startReceiver(t: Test, { home, env }: Fleet): Promise<ReadonlySet<string>> {
  const sids = new Set<string>()
  const receivers = await startReceivers(t)
  receivers.answer('/signals', (response, { body }) => {
    const { sub_id } = claimsOf(body) as { sub_id: { session?: { id: string } } }
    if (sub_id.session) sids.add(sub_id.session.id)
    response.writeHead(202).end()
  })
  const create = `stream create --client api --push ${receivers.origin}/signals`
  const made = await commandLine(t, home).call(create, { env: { ...env, ...toLoopback } })
  t.equal(made.code, 0, made.stderr)
  return sids
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
