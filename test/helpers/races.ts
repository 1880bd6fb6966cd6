import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { refresh, type Fleet, type HonestClient, type Instance } from './fleet.ts'

export interface Races {
  /** How many requests present one token at the same time. */
  readonly parallel: number
  readonly rounds: number
}

/** Processes that share one database, as a machine with several cores or a fleet would have them. */
export interface Processes {
  readonly fleet: Fleet
  readonly instances: readonly Instance[]
}

/**
 * So many requests with one token, at all processes at once: each is answered with the same successor, and it
 * works. (On a machine that is too slow for them, some are told to come back first.)
 */
export async function raceForSuccessors(
  t: Test,
  { fleet, instances }: Processes,
  { parallel, rounds }: Races,
): Promise<void> {
  const db = openDatabase(locationOf(fleet))
  t.teardown(() => db.close())
  const [client = { refreshToken: '' }] = await fleet.logIn(1)
  for (let round = 0; round < rounds; round++) {
    const answers = await Promise.all(
      Array.from({ length: parallel }, (_, i) =>
        answerOf(instances[i % instances.length]?.url ?? '', client.refreshToken),
      ),
    )
    const successors = new Set(answers.map(answer => (answer.kind === 'token' ? answer.token : answer.kind)))
    const [successor = ''] = successors
    if (successors.size !== 1 || !successor.startsWith('mm_rt_')) {
      t.fail(`round ${round}: not all ${parallel} got one successor`, { found: [...successors].slice(0, 5) })
    }
    t.equal(generationIn(successor), generationIn(client.refreshToken) + 1)
    t.equal(await generationOf(db, successor), generationIn(successor), 'the session moved on once')
    client.refreshToken = successor
  }
}

/**
 * A revocation at one process races with refreshes at all: from its answer on, the session never moves again,
 * and no request that is sent then is answered with a token.
 */
export async function raceRevocations(
  t: Test,
  { fleet, instances }: Processes,
  rounds: number,
): Promise<void> {
  const db = openDatabase(locationOf(fleet))
  t.teardown(() => db.close())
  let refreshed = 0
  for (let round = 0; round < rounds; round++) {
    const [client = { refreshToken: '' }] = await fleet.logIn(1)
    const first = client.refreshToken
    const load = startRefreshing(client, instances)
    while (load.tokens() < 1 + (round % 4)) await new Promise(setImmediate)
    const revoked = await instances[round % instances.length]?.post('/revoke', {
      client_id: 'app',
      token: first,
    })
    t.equal(revoked?.status, 200)
    const atAnswer = await generationOf(db, first)
    const later = await Promise.all(instances.map(({ url }) => refresh(url, client.refreshToken)))
    await load.ended
    refreshed += load.tokens()
    t.ok(
      later.every(answer => answer.kind === 'refused'),
      'what is sent after the answer is refused',
    )
    t.equal(await generationOf(db, first), atAnswer, 'and nothing has moved the session since')
  }
  t.comment(`${rounds} revocations among ${refreshed} refreshes`)
}

async function answerOf(url: string, refreshToken: string) {
  let answer = await refresh(url, refreshToken)
  for (let i = 0; answer.kind === 'later' && i < 20; i++) {
    await sleep(100)
    answer = await refresh(url, refreshToken)
  }
  return answer
}

/** Each process gets one request after the other, until it refuses. */
function startRefreshing(client: HonestClient, instances: readonly Instance[]) {
  let tokens = 0
  const keepRefreshing = async ({ url }: Instance) => {
    for (;;) {
      const answer = await refresh(url, client.refreshToken)
      if (answer.kind === 'refused') return
      if (answer.kind === 'later') {
        await sleep(20)
        continue
      }
      tokens++
      if (generationIn(answer.token) > generationIn(client.refreshToken)) client.refreshToken = answer.token
    }
  }
  return { tokens: () => tokens, ended: Promise.all(instances.map(keepRefreshing)) }
}

function bytesOf(refreshToken: string): Buffer {
  return Buffer.from(refreshToken.slice('mm_rt_'.length, -6), 'base64url')
}

const generationIn = (refreshToken: string) => bytesOf(refreshToken).readUInt32BE(21)

async function generationOf(db: Database, refreshToken: string): Promise<number | undefined> {
  return (await findSession(db, bytesOf(refreshToken).subarray(5, 21)))?.generation
}

/** Where the database of a fleet is. */
export function locationOf({ home, env }: Fleet): Parameters<typeof openDatabase>[0] {
  const url = env['MINTMARK_DATABASE_URL']
  return url === undefined
    ? { engine: 'sqlite', file: `${home}/db/mintmark.sqlite` }
    : { engine: 'postgres', url }
}
