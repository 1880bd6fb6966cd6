import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { migrate, thisProgram, type Program } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import { loadConfig } from '../../src/config/load.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { claimsOf, codeFor, redirectUri } from '../helpers/codes.ts'
import { postgresEnv, type EngineEnv } from '../helpers/engines.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { startedAt, startServer, testClient } from '../helpers/server.ts'

const api = 'https://api.example'

/** The program that knew neither groups nor wishes for claims. */
const names = [...thisProgram.migrations.keys()]
const earlier: Program = {
  migrations: new Map([...thisProgram.migrations].slice(0, names.indexOf('0010-groups'))),
  oldestProgram: 1,
}

/** A database as that program has left it. */
async function olderDatabase(t: Test, env: EngineEnv): Promise<Database> {
  const { databaseUrl } = loadConfig(env, '/')
  const db = openDatabase(databaseUrl, { isPatient: true })
  t.teardown(() => db.close())
  await migrate(db, startedAt, earlier)
  return db
}

const older: readonly (readonly [string, (t: Test) => Promise<EngineEnv>])[] = [
  ['SQLite', async t => ({ MINTMARK_DATABASE_URL: `sqlite:${join(scratchFolder(t), 'older.sqlite')}` })],
  ['PostgreSQL', postgresEnv],
]

for (const [engine, emptyEnv] of older) {
  if (engine === 'PostgreSQL' && process.env['TEST_ENGINE'] === 'sqlite') continue

  t.test(`an upgrade moves no claim (${engine})`, async t => {
    const env = await emptyEnv(t)
    const { sql } = await olderDatabase(t, env)
    const insert = (table: 'users' | 'clients' | 'resources', row: object) =>
      sql
        .insertInto(table)
        .values(row as never)
        .execute()
    const user = async (username: string, roles: string) => {
      const id = newUuid(startedAt)
      const rest = { password_hash: '', root_key_id: '', epoch: 0, created_at: startedAt }
      await insert('users', { id, username, roles, claims: '{}', ...rest })
      return { id, sub: formatUuid(id), username, password: '' }
    }
    const ada = await user('ada', `editor boss@${api} ada@example.com`)
    const bob = await user('bob', '')
    await insert('resources', { uri: api, scope: 'read', alg: 'ES256', has_status: 1, created_at: startedAt })
    for (const inIdToken of [0, 1]) {
      await insert('clients', {
        id: `app-${inIdToken}`,
        auth_method: 'none',
        dpop_bound: 0,
        tls_bound: 0,
        grant_types: 'authorization_code refresh_token',
        redirect_uris: redirectUri,
        scope: 'read',
        resources: api,
        introspects: '',
        is_admin: 0,
        refresh_policy: 'rotate',
        forwards_user_address: 0,
        cors_origins: '',
        claims_in_id_token: inIdToken,
        epoch: 0,
        created_at: startedAt,
      })
    }
    const server = await startServer(t, env)
    const logIn = async (app: string, who: typeof ada, scope = 'openid roles read') => {
      const client = testClient(app, undefined)
      const { form } = await codeFor(server, client, who, { scope })
      const first = (await server.post('/token', { ...client.form, ...form })).json()
      const later = await server.refresh(client, first.refresh_token)
      const { access_token } = { ...first, ...later }
      const headers = { authorization: `Bearer ${access_token}` }
      const userinfo = (await server.request({ url: '/userinfo', headers })).json()
      const told = [first.access_token, access_token, first.id_token].map(claimsOf)
      return [...told, userinfo].map(claims =>
        Object.fromEntries(Object.entries(claims).filter(([name]) => !usual.has(name))),
      )
    }
    const roles = ['editor', `boss@${api}`, 'ada@example.com']
    t.strictSame(await logIn('app-0', ada), [{ roles }, { roles }, {}, { roles }])
    t.strictSame(await logIn('app-1', ada), [{ roles }, { roles }, { roles }, { roles }])
    t.strictSame(await logIn('app-1', ada, 'openid'), [{ roles }, { roles }, {}, {}])
    t.strictSame(await logIn('app-0', bob), [{}, {}, {}, { roles: [] }])
    t.strictSame(await logIn('app-1', bob), [{}, {}, { roles: [] }, { roles: [] }])
  })
}

/** Claims of every token. */
const usual = new Set([
  ...[
    'iss',
    'sub',
    'aud',
    'exp',
    'iat',
    'jti',
    'client_id',
    'scope',
    'sid',
    'auth_time',
    'acr',
    'amr',
    'status',
  ],
  ...['nonce', 'at_hash'],
])
