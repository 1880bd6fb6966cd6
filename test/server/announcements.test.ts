import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { listEvents, type EventRow } from '../../db/push/events.ts'
import { findUserById } from '../../db/users/users.ts'
import { rememberConsent } from '../../src/authorization/consents.ts'
import { endChosenSessions } from '../../src/endings/end-chosen.ts'
import { endSignIns, withdrawConsent, type SignInEndReason } from '../../src/endings/end-sign-ins.ts'
import {
  endAllOfIssuer,
  endAllSessions,
  endReplayedSession,
  endSessionsOfClient,
  endSessionsOfUser,
  endStolenSession,
} from '../../src/endings/end.ts'
import { replayRevocations } from '../../src/endings/replay.ts'
import { endAllOfCopy, endAllWithKeys } from '../../src/endings/restart.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import type { Event } from '../../src/record/events.ts'
import { record, recordAlone, type Recorder } from '../../src/record/record.ts'
import { createStream } from '../../src/streams/streams.ts'
import { eachOfMany, securityEventsOf } from '../../src/streams/security-events.ts'
import { byCommand } from '../helpers/by-command.ts'
import { claimsOf, codeFor, forLogIns } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer, type TestClient, type TestServer, type TestUser } from '../helpers/server.ts'

const orders = 'https://orders.example'
const mail = 'https://mail.example'
const caller = { address: '192.0.2.1', requestId: 'r1' }

/** A client and a user of one act. */
interface World {
  readonly server: TestServer
  readonly by: Recorder
  readonly app: TestClient
  readonly ada: TestUser
  /** Begins a session of the user through the client, and returns its id and its refresh token. */
  begin(): Promise<readonly [id: Buffer, refreshToken: string]>
}

async function start(t: Test, env: EngineEnv) {
  const server = await startServer(t, { ...env, MINTMARK_SESSIONS_PER_USER: '2' })
  await server.resource(orders)
  await server.resource(mail)
  const root = await server.client('root', { is_admin: 1 })
  const settings = {
    audience: 'x',
    defaultSubjects: 'ALL',
    eventsRequested: null,
    description: null,
  } as const
  const delivery = { method: 'poll' } as const
  await createStream(
    { ...byCommand(server.ctx), rootKeys: server.ctx.rootKeys },
    { clientId: root.id, delivery, ...settings },
  )
  let count = 0
  const world = async (resources = orders): Promise<World & { readonly root: TestClient }> => {
    count++
    const grant_types = `password client_credentials ${forLogIns.grant_types}`
    const app = await server.client(`app-${count}`, {
      ...{ ...forLogIns, resources, grant_types, scope: 'read write openid' },
      back_channel_logout_uri: 'https://app.example/logged-out',
    })
    const ada = await server.user(`ada-${count}`)
    const begin: World['begin'] = async () => {
      const { access_token, refresh_token } = await server.logIn(app, ada)
      return [Buffer.from(String(claimsOf(access_token)['sid']).replaceAll('-', ''), 'hex'), refresh_token]
    }
    return { server, by: byCommand(server.ctx), root, app, ada, begin }
  }
  const { db } = server.ctx
  let seq = 0
  /** What was announced since the last time. */
  const announced = async (): Promise<readonly EventRow[]> => {
    const rows = await listEvents(db, { from: seq + 1, limit: 1000 })
    seq = rows.at(-1)?.seq ?? seq
    return rows
  }
  return { server, world, announced }
}

const endsWithSession = async ({ server, by, app, ada }: World, reason: SignInEndReason) => {
  const { form, signIn } = await codeFor(server, app, ada)
  await server.post('/token', { ...form, ...app.form })
  const offline = await codeFor(server, app, ada, { signIn, scope: 'openid offline_access' })
  await server.post('/token', { ...offline.form, ...app.form })
  await endSignIns(by, [signIn.id], { reason })
}
const credential = (
  event: 'totp_added' | 'totp_removed' | 'recovery_codes_renewed' | 'recovery_codes_removed',
) => {
  return ({ by, ada }: World) => recordAlone(by, { event, userId: ada.id })
}
const passkey = (event: 'passkey_added' | 'passkey_removed') => async (world: World) => {
  const detail = { passkey: 'x', rp_id: 'as.example', synced: false }
  await recordAlone(world.by, { event, userId: world.ada.id, detail } as Event<typeof event>)
}
const restart = ({ server: { ctx }, by }: World) => ({
  by,
  rootKeys: ctx.rootKeys,
  file: ctx.config,
  reason: 'as it was typed',
  algs: ['ES256'],
})

/** Does it while there is a session. */
const begun =
  (act: (world: World) => Promise<unknown>) =>
  async (world: World): Promise<unknown> => {
    await world.begin()
    return act(world)
  }

/** Does what a row of the table tells of, by the text of its first column. */
const acts: Readonly<Record<string, (world: World & { readonly root: TestClient }) => Promise<unknown>>> = {
  '`POST /revoke` by the client of the token': async ({ server, app, begin }) =>
    server.revoke(app, (await begin())[1]),
  "`POST /revoke` by an administrator's client": async ({ server, root, begin }) =>
    server.revoke(root, (await begin())[1]),
  'two have held one refresh token (theft)': async ({ by, ada, app, begin }) => {
    const [sessionId] = await begin()
    const detail = { presented: 0, current: 9, last_address: null }
    await endStolenSession(by, { userId: ada.id, clientId: app.id, sessionId, detail })
  },
  'an authorization code is used twice': async ({ by, ada, app, begin }) => {
    const [sessionId] = await begin()
    const detail = { presented_by: app.id, last_address: null }
    await endReplayedSession(by, { userId: ada.id, clientId: app.id, sessionId, detail })
  },
  'a user has more sessions than `MINTMARK_SESSIONS_PER_USER`': async ({ begin }) => {
    for (let i = 0; i < 3; i++) await begin()
  },
  '`mintmark session revoke --id`, or a choice of at most 1,000': async ({ by, ada, begin }) => {
    await begin()
    await endChosenSessions(by, { userId: ada.id }, { total: 1000 })
  },
  'a choice of more (`--older-than`, `--idle-for`)': async ({ by, ada, begin }) => {
    await begin()
    await begin()
    await endChosenSessions(by, { userId: ada.id }, { total: 1001 })
  },
  'a log-out': world => endsWithSession(world, 'log-out'),
  'a user ends one of the places where they are logged in': world =>
    endsWithSession(world, 'ended by its user'),
  'another user logs in in the same browser': world => endsWithSession(world, 'another user logged in'),
  'a user takes back what an app was allowed': async ({ server: { ctx }, by, app, ada, begin }) => {
    await begin()
    const client = await ctx.clients.registry.findClient(app.id)
    const user = await findUserById(ctx.db, ada.id)
    if (!client || !user) throw new Error('they are gone')
    await rememberConsent(ctx, { user, client, resource: null, scope: ['read'] }, caller)
    await withdrawConsent(by, { userId: ada.id, clientId: app.id })
  },
  'a password is changed, or set by a mailed link': async ({ server, by, ada, begin }) => {
    await begin()
    const password = await server.ctx.users.passwords.hash('another one, and long')
    await endSessionsOfUser(by, ada.id, { reason: 'password changed', password })
  },
  'a user logs out everywhere else': async world => {
    const { server, by, ada, app } = world
    const { form, signIn } = await codeFor(server, app, ada)
    await server.post('/token', { ...form, ...app.form })
    await world.begin()
    const { secret_hash } = await server.ctx.db.sql
      .selectFrom('sign_ins')
      .select('secret_hash')
      .where('id', '=', signIn.id)
      .executeTakeFirstOrThrow()
    const kept = { id: signIn.id, user_epoch: signIn.user_epoch, secret_hash, withSessions: true }
    await endSessionsOfUser(by, ada.id, { reason: 'ended by its user', kept })
  },
  '`POST /global-token-revocation`': begun(({ by, ada }) =>
    endSessionsOfUser(by, ada.id, { reason: 'admin' }),
  ),
  '`mintmark session revoke --user`': begun(({ by, ada }) =>
    endSessionsOfUser(by, ada.id, { reason: 'command' }),
  ),
  'a user is disabled': begun(({ by, ada }) => endSessionsOfUser(by, ada.id, { reason: 'user disabled' })),
  'a user is deleted': async ({ by, ada, begin }) => {
    await begin()
    await endSessionsOfUser(by, ada.id, { reason: 'user deleted', username: ada.username })
  },
  'a user is enabled again': ({ by, ada }) => recordAlone(by, { event: 'user_enabled', userId: ada.id }),
  'a user logs in once more in a browser, at another level (`acr`)': ({ by, ada }) => {
    const detail = { sign_in: 'x', amr: 'pwd otp mfa', amr_before: 'pwd' }
    return recordAlone(
      by,
      { event: 'sign_in_renewed', userId: ada.id, detail },
      { event: 'sign_in_renewed', userId: ada.id, detail: { ...detail, amr_before: 'pwd otp mfa' } },
    )
  },
  'a passkey is added': passkey('passkey_added'),
  'a passkey is removed': passkey('passkey_removed'),
  'an authenticator app is added': credential('totp_added'),
  'an authenticator app is removed': credential('totp_removed'),
  'recovery codes are made': credential('recovery_codes_renewed'),
  'recovery codes are removed': credential('recovery_codes_removed'),
  '`mintmark session revoke --client`': begun(({ by, app }) => endSessionsOfClient(by, app.id, 'command')),
  'a client is disabled': begun(({ by, app }) => endSessionsOfClient(by, app.id, 'client disabled')),
  'a client is deleted': async ({ by, app, begin }) => {
    await begin()
    await endSessionsOfClient(by, app.id, 'client deleted')
  },
  '`mintmark session revoke --all`': begun(({ by }) => endAllSessions(by, 'command')),
  '`mintmark key revoke --all`': begun(world => endAllWithKeys({ ...restart(world), keepsRootKey: true })),
  '`mintmark db adopt --moved`': begun(({ by }) =>
    endAllOfIssuer(by, { from: 'https://as.example', to: 'https://new.example' }),
  ),
  '`mintmark db adopt --copied`': begun(world =>
    endAllOfCopy({
      ...restart(world),
      from: 'https://new.example',
      to: 'https://copy.example',
      secretHashOf: id => hashSecret(id),
    }),
  ),
  'a session expires, a key is rotated or revoked by itself': ({ by }) => {
    const detail = { alg: 'ES256', kid: 'k', state: 'active', reason: 'x' } as const
    const rotated = { alg: 'ES256', from: 'a', to: 'b' }
    return recordAlone(by, { event: 'key_revoked', at: 1, detail }, { event: 'key_rotated', detail: rotated })
  },
}

/** The rows of the table in docs/revocation.md. */
const rows = readFileSync(join(import.meta.dirname, '../../docs/revocation.md'), 'utf8')
  .split('| what happens | event | reason | logout token | Shared Signals |')[1]
  ?.split('\n\n')[0]
  ?.split('\n')
  .slice(2)
  .map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )

/** Of which of its sessions the client is told, by the text of the last column. */
async function isTold(t: Test, { server, app }: World, told: string, what: string): Promise<void> {
  const { db } = server.ctx
  await runJob(server, 'finding what to deliver')
  const deliveries = await db.sql
    .selectFrom('deliveries')
    .select('subject')
    .where('receiver', '=', app.id)
    .execute()
  const outlive = told.includes('outlive')
  const ended = await db.sql
    .selectFrom('sessions')
    .select('id')
    .where('client_id', '=', app.id)
    .$if(!outlive, query => query.where('revoked_at', 'is not', null))
    .execute()
  const hex = (ids: readonly Buffer[]) => ids.map(id => id.toString('hex')).toSorted()
  t.strictSame(
    hex(deliveries.map(({ subject }) => subject)),
    told === 'none' ? [] : hex(ended.map(({ id }) => id)),
    `logout tokens where ${what}`,
  )
  const some = outlive ? 2 : 1
  if (told !== 'none') t.ok(deliveries.length >= some, `${what}: there is something to tell`)
}

await forEachEngine(t, 'what is announced is what docs/revocation.md says', async (t, env) => {
  const { world, announced } = await start(t, env)
  t.ok(rows && rows.length > 25, 'there is a table')
  for (const [what = '', events = '', reason = '', told = '', signals = ''] of rows ?? []) {
    const act = acts[what]
    if (!act) throw new Error(`no act is known for "${what}"`)
    const w = await world()
    await act(w)
    await isTold(t, w, told, what)
    const kinds = [...events.matchAll(/`(\w+)`/g)].map(([, kind]) => kind)
    const found = await announced()
    t.strictSame(
      found.map(({ kind, reason }) => [kind, reason]),
      kinds.map(kind => [kind, reason.slice(1, -1)]),
      what,
    )
    const everything = { key: ' ', isAmong: () => true }
    const sent = found
      .flatMap(eachOfMany)
      .flatMap(row => securityEventsOf(row, { issuer: 'https://as.example', audience: everything }))
    t.strictSame(
      [...new Set(sent.map(({ type }) => type.split('/').at(-1)))],
      [...signals.matchAll(/`([\w-]+)`/g)].map(([, type]) => type),
      `${what}: as security events`,
    )
    for (const { type, members } of sent)
      if (type.includes('/caep/'))
        t.match(members, { reason_admin: { en: /^(the|an?|another|all) [a-z ]+$/ } }, what)
    const ofNobody = ['sign_in', 'credential']
    for (const { kind, audiences } of found) {
      if (kind === 'all') t.equal(audiences, null)
      else if (!ofNobody.includes(kind) && /a (user|client) is (disabled|deleted)|revoke/.test(what))
        t.ok(audiences === orders || audiences === '', `${what}: ${audiences}`)
    }
  }
  t.strictSame(Object.keys(acts).length, rows?.length, 'each row has its act')
})

await forEachEngine(
  t,
  'an event names the sessions that have ended, each for its own audience',
  async (t, env) => {
    const { server, world, announced } = await start(t, env)
    const w = await world(`${orders} ${mail}`)
    const sid = async (resource?: string) =>
      String(
        claimsOf((await server.logIn(w.app, w.ada, resource ? { resource } : {})).access_token)['sid'],
      ).replaceAll('-', '')
    const [atOrders, atBoth] = [await sid(orders), await sid()]
    await endSessionsOfUser(w.by, w.ada.id, { reason: 'command' })
    const sorted = (detail: string | null | undefined) => JSON.parse(detail ?? '{}').sessions.sort()
    const [ofUser] = await announced()
    t.match(ofUser, { kind: 'user', audiences: `${orders} ${mail}`, user_id: w.ada.id })
    t.strictSame(
      sorted(ofUser?.detail),
      [
        [atOrders, orders],
        [atBoth, `${orders} ${mail}`],
      ].sort(),
    )

    const again = await sid(mail)
    await endSessionsOfUser(w.by, w.ada.id, { reason: 'command' })
    const [second] = await announced()
    t.match(second, { audiences: mail }, 'those that ended before are not told again')
    t.strictSame(sorted(second?.detail), [[again, mail]])

    const late = await sid(orders)
    server.tick(10)
    const lately = await sid(orders)
    await endSessionsOfClient(w.by, w.app.id, 'command')
    const [ofClient] = await announced()
    const { before, sessions } = JSON.parse(ofClient?.detail ?? '{}')
    t.equal(before, server.ctx.clock.now() - 2)
    t.strictSame(sessions, [[lately, orders]], `${late} began before; those of the same moment are named`)
    await server.follow()
    const next = await sid(orders)
    t.ok(parseInt(next.slice(0, 12), 16) / 1000 >= before, 'one that begins afterwards is not meant')
  },
)

await forEachEngine(t, 'those who go on are not named', async (t, env) => {
  const { world, announced } = await start(t, env)
  await acts['a user logs out everywhere else']?.(await world())
  const [found] = await announced()
  t.equal(JSON.parse(found?.detail ?? '{}').sessions.length, 1, 'the session of the sign-in goes on')
})

await forEachEngine(t, 'invariant 25: what was undone is not announced', async (t, env) => {
  const { server, world, announced } = await start(t, env)
  const { by, ada, begin } = await world()
  const [sessionId] = await begin()
  const ofSession = { sessionId, userId: ada.id, clientId: 'app' }
  const at = server.ctx.clock.now()
  const event = { event: 'session_revoked', ...ofSession, at, detail: { reason: 'client' } } as const
  await t.rejects(
    record(by, event, db =>
      db.transact(async transaction => {
        await transaction
          .updateTable('sessions')
          .set({ revoked_at: at })
          .where('id', '=', sessionId)
          .execute()
        throw new Error('the disk is full')
      }),
    ),
  )
  t.equal(await record(by, event, db => db.transact(async () => false)), false, 'nor what was nothing')
  t.strictSame(await announced(), [])
})

await forEachEngine(t, 'what logs tell a restored backup is announced again', async (t, env) => {
  const { server, world, announced } = await start(t, env)
  const w = await world()
  const [sid] = await w.begin()
  const at = server.ctx.clock.now()
  const options = { ...restart(w), addRootKey: () => '' }
  const epoch = 1 + ((await server.ctx.clients.registry.findClient(w.app.id))?.epoch ?? 0)
  const revocations = [
    { event: 'session_revoked', sid, reason: 'client', at },
    { event: 'user_revoked', sub: w.ada.id, epoch: 3_000, reason: 'user disabled', at },
    { event: 'client_revoked', clientId: w.app.id, epoch, reason: 'command', at },
  ] as const
  await replayRevocations(options, { revocations }, () => {})
  await replayRevocations(options, { revocations }, () => {})
  t.strictSame(
    (await announced()).map(({ kind, reason }) => [kind, reason]),
    [
      ['session', 'client'],
      ['user', 'user disabled'],
      ['client', 'command'],
    ],
    'once',
  )
})
