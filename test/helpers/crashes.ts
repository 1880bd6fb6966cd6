import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { refresh, type Fleet, type HonestClient, type Instance } from './fleet.ts'

export interface Crashes {
  /** How many processes are killed in all, and how many run at the same time on one database. */
  readonly kills: number
  readonly lanes: number
  readonly clients: number
}

/**
 * Servers are killed with SIGKILL at moments of chance, again and again, while honest clients refresh, log in
 * and revoke. Afterwards each client's newest token works, every answered log-in is there, and every answered
 * revocation holds; and nothing had to be healed, which would hide that something was lost. Returns the
 * servers that live.
 */
export async function surviveCrashes(t: Test, fleet: Fleet, crashes: Crashes): Promise<Instance[]> {
  const world: World = { fleet, logs: [], revoked: [], logIns: 0, killsLeft: crashes.kills }
  const instances = [await startOne(world)]
  const clients = await fleet.logIn(crashes.clients)
  while (instances.length < crashes.lanes) instances.push(await startOne(world))
  const load = fleet.load(clients)
  await load.progress(1)

  const survivors = await Promise.all(instances.map(instance => keepKilling(t, world, instance)))
  await load.progress(1)
  t.strictSame(await load.stop(), [], 'no honest client was ever refused')
  const [{ url } = { url: '' }] = survivors
  for (const client of clients) t.equal((await refresh(url, client.refreshToken)).kind, 'token')
  const held = await Promise.all(world.revoked.map(client => refresh(url, client.refreshToken)))
  t.ok(
    held.every(answer => answer.kind === 'refused'),
    `every answered revocation holds (${held.length})`,
  )
  const healed = world.logs.flat().filter(line => line['event'] === 'session_healed')
  t.strictSame(healed, [], 'nothing that was answered had to be healed')
  t.comment(
    `${crashes.kills} kills, ${load.refreshed()} refreshes, ${load.delayed()} without an answer, ` +
      `${world.logIns} log-ins, ${world.revoked.length} revocations`,
  )
  return survivors
}

interface World {
  readonly fleet: Fleet
  readonly logs: (readonly Record<string, unknown>[])[]
  /** Those whose revocation was answered. */
  readonly revoked: HonestClient[]
  logIns: number
  killsLeft: number
}

async function startOne({ fleet, logs }: World): Promise<Instance> {
  const instance = await fleet.start()
  logs.push(instance.log)
  return instance
}

/** Kills the server and starts another, as long as there are kills left; the last one lives. */
async function keepKilling(t: Test, world: World, first: Instance): Promise<Instance> {
  let instance = first
  while (world.killsLeft > 0) {
    world.killsLeft--
    const logIn = await tryLogIn(instance)
    if (logIn) {
      world.logIns++
      const { kind } = await refresh(instance.url, logIn.refreshToken)
      t.equal(kind, 'token', 'a log-in that was answered is there')
    }
    const revoking = logIn && tryRevoking(instance, logIn)
    await sleep(Math.random() * 200)
    await instance.kill()
    if (logIn && (await revoking)) world.revoked.push(logIn)
    instance = await startOne(world)
    const last = world.revoked.at(-1)
    if (last) {
      const { kind } = await refresh(instance.url, last.refreshToken)
      t.equal(kind, 'refused', 'an answered revocation holds')
    }
  }
  return instance
}

async function tryLogIn(instance: Instance): Promise<HonestClient | undefined> {
  const form = {
    grant_type: 'password',
    client_id: 'app',
    username: 'ada',
    password: 'correct horse battery staple',
  }
  const { status, body } = await instance.post('/token', form)
  return status === 200 ? { refreshToken: body.refresh_token } : undefined
}

/** Whether it was answered. */
async function tryRevoking(instance: Instance, { refreshToken }: HonestClient): Promise<boolean> {
  await sleep(Math.random() * 50)
  const answer = await instance
    .post('/revoke', { client_id: 'app', token: refreshToken })
    .catch(() => undefined)
  return answer?.status === 200
}
