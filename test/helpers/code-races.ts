import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { insertClient } from '../../db/clients/clients.ts'
import { findInstallation } from '../../db/installation/installation.ts'
import { openDatabase } from '../../db/open-database.ts'
import { findUser } from '../../db/users/users.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { systemClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { readRootKeys } from '../../src/keys/root/root-key.ts'
import { issuer } from './cli.ts'
import { codeFor, forLogIns, type TestCode } from './codes.ts'
import type { Fleet, Instance } from './fleet.ts'
import { locationOf } from './races.ts'

/** Makes codes for a client of its own, as any of the processes would. */
async function openCodes(t: Test, fleet: Fleet, clientId: string) {
  const config = loadConfig({ MINTMARK_ISSUER: issuer, ...fleet.env }, fleet.home)
  const db = openDatabase(locationOf(fleet))
  t.teardown(() => db.close())
  const clock = systemClock()
  const rootKeys = readRootKeys(config)
  rootKeys.bindTo((await findInstallation(db))?.seal_secret ?? '')
  const maker = { ctx: { db, config, clock, rootKeys } }
  const row = { id: clientId, secret_hash: null, created_at: clock.now(), ...forLogIns, scope: 'read' }
  await insertClient(db, plainClientRow(row))
  const user = await findUser(db, 'ada')
  if (!user) throw new Error('the fleet has a user')
  return {
    next: () => codeFor(maker, row, user),
    sessions: async () => {
      const rows = await db.sql.selectFrom('sessions').select('id').where('client_id', '=', row.id).execute()
      return rows.map(({ id }) => id.toString('hex'))
    },
  }
}

/** The status of the answer; undefined where there was none. */
async function redeem(url: string, clientId: string, { form }: TestCode): Promise<number | undefined> {
  const body = new URLSearchParams({ client_id: clientId, ...form })
  try {
    const response = await fetch(`${url}/token`, { method: 'POST', body })
    await response.text()
    return response.status
  } catch {
    return undefined // no server answered, or the connection was cut
  }
}

/** So many requests with one code, at all processes at once: one is answered with tokens. */
export async function raceForTokens(
  t: Test,
  { fleet, instances }: { readonly fleet: Fleet; readonly instances: readonly Instance[] },
  { parallel, rounds }: { readonly parallel: number; readonly rounds: number },
): Promise<void> {
  const codes = await openCodes(t, fleet, 'racing')
  for (let round = 1; round <= rounds; round++) {
    const code = await codes.next()
    const statuses = await Promise.all(
      Array.from({ length: parallel }, (_, i) =>
        redeem(instances[i % instances.length]?.url ?? '', 'racing', code),
      ),
    )
    t.equal(statuses.filter(status => status === 200).length, 1, 'one has got tokens')
    t.equal((await codes.sessions()).length, round, 'and one session has started')
  }
}

/**
 * Processes are killed while a code is redeemed at each of them, and the code is presented again afterwards:
 * no code ever yields two answers, or two sessions. Returns the processes that live.
 */
export async function redeemThroughKills(
  t: Test,
  { fleet, instances }: { readonly fleet: Fleet; readonly instances: readonly Instance[] },
  kills: number,
): Promise<Instance[]> {
  const codes = await openCodes(t, fleet, 'dying')
  const living = [...instances]
  let lost = 0
  for (let kill = 1; kill <= kills; kill++) {
    const code = await codes.next()
    const [victim] = living.splice(0, 1)
    if (!victim) throw new Error('there is a process to kill')
    const before = [victim, ...living].map(({ url }) => redeem(url, 'dying', code))
    // From before the code is read until after the answer is sent, whatever the machine is like.
    await sleep(Math.random() * 20)
    await victim.kill()
    living.push(await fleet.start())
    const first = await Promise.all(before)
    const later = await Promise.all(living.map(({ url }) => redeem(url, 'dying', code)))
    const answered = [...first, ...later].filter(status => status === 200).length
    const started = await codes.sessions()
    t.ok(answered <= 1, 'no code is answered with tokens twice')
    t.equal(
      started.filter(id => id === code.sessionId.toString('hex')).length,
      1,
      'it has started its session',
    )
    t.equal(started.length, kill, 'and no other')
    if (answered === 0) lost++
  }
  t.comment(`${kills} kills, of which ${lost} came between the session and its answer`)
  return living
}
