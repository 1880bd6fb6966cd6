import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { insertClient } from '../../db/clients/clients.ts'
import { insertResource } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { ClientTable } from '../../db/schema.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { systemClock } from '../../src/clock.ts'
import { tokenExchange } from '../../src/protocol/grant-types.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import { exchangeForm } from './exchange.ts'
import type { Instance } from './fleet.ts'
import { locationOf, type Processes } from './races.ts'

const api = 'https://api.example'
const orders = 'https://orders.example'
const client_secret = 'a secret of all of them'

/**
 * Processes are killed while several requests exchange a token at each of them, the first ones of their
 * client, which impersonates users. Each token that was answered is good afterwards and has its entry in the
 * audit trail, and the client has one machine session. Returns the processes that live.
 */
export async function exchangeThroughKills(
  t: Test,
  { fleet, instances }: Processes,
  kills: number,
): Promise<Instance[]> {
  const db = openDatabase(locationOf(fleet))
  t.teardown(() => db.close())
  await addApi(db)
  const living = [...instances]
  let answered = 0
  for (let kill = 1; kill <= kills; kill++) {
    const id = `gateway-${kill}`
    const settings = { introspects: api, resources: orders, may_impersonate: 1 } as const
    await addClient(db, id, { grant_types: tokenExchange, ...settings })
    const token = await logIn(living)
    const [victim] = living.splice(0, 1)
    if (!victim) throw new Error('there is a process to kill')
    const form = { client_id: id, client_secret, ...exchangeForm(token) }
    const asked = [victim, ...living].flatMap(({ url }) => [1, 2, 3].map(() => exchange(url, form)))
    // From before the requests are read until after the answers are sent, whatever the machine is like.
    await sleep(Math.random() * 30)
    await victim.kill()
    living.push(await fleet.start())
    const tokens = (await Promise.all(asked)).filter(one => one !== undefined)
    answered += tokens.length
    for (const one of tokens) t.ok(await isActive(living, one), 'what was answered is good')
    t.ok((await impersonations(db, id)) >= tokens.length, 'and is in the audit trail')
    t.equal(await sessionsOf(db, id), 1, 'the client has one session')
  }
  t.ok(answered > 0)
  t.comment(`${kills} kills, ${answered} of ${6 * kills} exchanges were answered`)
  return living
}

async function addApi(db: Database): Promise<void> {
  await insertResource(db, {
    uri: orders,
    scope: 'read',
    scope_words: '{}',
    alg: 'ES256',
    previous_alg: 'ES256',
    access_token_seconds: null,
    has_status: 1,
    created_at: systemClock().now(),
  })
  await addClient(db, 'orders', { grant_types: '', introspects: orders })
}

async function addClient(db: Database, id: string, settings: Partial<ClientTable>): Promise<void> {
  const row = { id, secret_hash: hashSecret(client_secret), created_at: systemClock().now(), scope: 'read' }
  await insertClient(db, plainClientRow({ ...row, ...settings }))
}

async function logIn([instance]: readonly Instance[]): Promise<string> {
  const user = { username: 'ada', password: 'correct horse battery staple' }
  const answer = await instance?.post('/token', { grant_type: 'password', client_id: 'app', ...user })
  return String(answer?.body.access_token)
}

/** The token; undefined where there was no answer, or one that says to come back. */
async function exchange(url: string, form: Record<string, string>): Promise<string | undefined> {
  const body = new URLSearchParams(form)
  const response = await fetch(`${url}/token`, { method: 'POST', body }).catch(() => undefined)
  // The connection may be cut within the answer.
  const text = await response?.text().catch(() => undefined)
  if (!response || text === undefined || response.status === 503) return undefined
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  return JSON.parse(text).access_token
}

async function isActive([instance]: readonly Instance[], token: string): Promise<boolean> {
  const answer = await instance?.post('/introspect', { client_id: 'orders', client_secret, token })
  return answer?.body.active === true
}

async function impersonations({ sql }: Database, clientId: string): Promise<number> {
  const rows = await sql
    .selectFrom('audit')
    .select('id')
    .where('event', '=', 'user_impersonated')
    .where('client_id', '=', clientId)
    .execute()
  return rows.length
}

async function sessionsOf({ sql }: Database, clientId: string): Promise<number> {
  return (await sql.selectFrom('sessions').select('id').where('client_id', '=', clientId).execute()).length
}
