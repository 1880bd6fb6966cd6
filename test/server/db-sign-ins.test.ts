import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { forgetLost, markAsBackup, reviveBackup } from '../../db/backups/restored.ts'
import { deleteClient, findClient, insertClient, raiseClientEpochs } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { changeIssuer } from '../../db/installation/installation.ts'
import { listRevocations } from '../../db/sessions/revocations.ts'
import { findSession, revokeSession } from '../../db/sessions/sessions.ts'
import { insertLogIn, type NewLogIn } from '../../db/sessions/starts.ts'
import { sweepSessions } from '../../db/sessions/sweeper.ts'
import { findConsent, rememberConsent, withdrawConsent } from '../../db/users/consents.ts'
import { findKnownSources } from '../../db/users/known-sources.ts'
import { endSignIns, endSignInsOfBrowser } from '../../db/users/sign-in-ends.ts'
import {
  findLeftSignIn,
  findSignIn,
  findSignInOfSession,
  insertSignIn,
  renewSignIn,
  touchSignIn,
  type NewSignIn,
} from '../../db/users/sign-ins.ts'
import { changePassword, deleteUser, disableUser, insertUser, raiseUserEpoch } from '../../db/users/users.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { forEachEngine, onPostgres } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { madeAt, openSeeded, secretHash } from '../helpers/records.ts'
import { beginSignIn, endsOf, newSignIn, renewalOf, userOf } from '../helpers/sign-ins.ts'
import { slowWriter } from '../helpers/slow-writer.ts'

const now = madeAt + 10
const logOut = { now, reason: 'log-out' } as const
const command = { now, reason: 'command' } as const
const password = { password_hash: 'another', root_key_id: 'none' }

async function countOf(db: Database, table: 'sign_ins' | 'sign_in_sessions' | 'consents'): Promise<number> {
  return (await db.sql.selectFrom(table).selectAll().execute()).length
}

async function addUser(db: Database, username: string): Promise<Buffer> {
  const id = newUuid(madeAt)
  const user = { id, username, password_hash: 'x', root_key_id: 'x', roles: '', epoch: 0, created_at: madeAt }
  await insertUser(db, { ...user, disabled_at: null })
  return id
}

/** A log-in through the client `web`, whose session ends with a sign-in. */
async function logInOf(db: Database, userId: Buffer, signInId: Buffer | null): Promise<NewLogIn> {
  const [user, client] = [await userOf(db, userId), await findClient(db, 'web')]
  return {
    session: {
      id: newUuid(madeAt),
      user_id: userId,
      client_id: 'web',
      user_epoch: user.epoch,
      client_epoch: client?.epoch ?? 0,
      secret_hash: secretHash,
      scope: 'read',
      resource: null,
      auth_time: madeAt,
      started_at: madeAt,
      amr: 'pwd',
      expires_at: madeAt + 1000,
      absolute_expires_at: madeAt + 5000,
      status_position: 7,
      last_address: null,
    },
    signInId,
    knownSources: undefined,
    bound: { sessionsMax: 100, reason: 'limit' },
  }
}

/** Whether a session of the sign-in has started. */
async function begin(db: Database, userId: Buffer, signInId: Buffer | null): Promise<Buffer | undefined> {
  const logIn = await logInOf(db, userId, signInId)
  return (await insertLogIn(db, logIn)) && logIn.session.id
}

await forEachEngine(
  t,
  'of two changes that were judged on one sign-in, the second is lost (invariant 14)',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const user = await userOf(db, userId)
    const seen = await beginSignIn(db, userId)
    const address = '192.0.2.9'
    t.equal(await touchSignIn(db, seen, { now: madeAt + 70, address }), true)
    t.equal(await touchSignIn(db, seen, { now: madeAt + 71, address }), false, 'a touch')
    t.match(await findSignIn(db, seen.id), {
      used_at: madeAt + 70,
      last_address: address,
      user: { id: userId },
    })

    const sources = Buffer.alloc(16, 1)
    const logIn = { user, knownSources: sources }
    const renewal = renewalOf('second', { auth_time: madeAt + 80, amr: 'pwd otp' })
    t.match(await renewSignIn(db, seen, renewal, logIn), { ...renewal, id: seen.id, created_at: madeAt + 1 })
    t.strictSame(await findKnownSources(db, user.username), sources, 'with where the user is known')
    const other = { user, knownSources: Buffer.alloc(16, 2) }
    t.equal(await renewSignIn(db, seen, renewalOf('third'), other), undefined, 'a step up')
    t.strictSame(await findKnownSources(db, user.username), sources)
    t.match(await findSignIn(db, seen.id), { secret_hash: hashSecret('second') }, 'the first one counts')
    t.equal(
      await touchSignIn(db, { ...seen, used_at: madeAt + 1 }, { now: madeAt + 90, address }),
      false,
      'nor does one with the secret of before touch it',
    )

    const disabled = (disabled_at: number | null) =>
      db.sql.updateTable('users').set({ disabled_at }).where('id', '=', userId).execute()
    await disabled(madeAt)
    t.equal(await findSignIn(db, seen.id), undefined, 'none of a disabled user is found')
    await disabled(null)

    const bob = await userOf(db, await addUser(db, 'bob'))
    const present = { ...seen, secret_hash: hashSecret('second') }
    const notHis = await renewSignIn(db, present, renewalOf('b'), { user: bob, knownSources: undefined })
    t.equal(notHis, undefined, 'another user does not take it over')

    t.match(await endSignIns(db, [seen.id], logOut), [{ id: seen.id, userId, sessions: [] }])
    t.equal(await endSignIns(db, [seen.id], logOut), undefined, 'an end')
    t.equal(await renewSignIn(db, present, renewalOf('fourth'), logIn), undefined, 'what has ended stays so')
    t.equal(await touchSignIn(db, { ...present, used_at: madeAt + 1 }, { now: madeAt + 99, address }), false)
    t.equal(await countOf(db, 'sign_ins'), 0)
  },
)

const ends: readonly [name: string, end: (db: Database, userId: Buffer) => Promise<unknown>][] = [
  ['a password change', (db, userId) => changePassword(db, userId, password, now)],
  ['a disable', (db, userId) => disableUser(db, userId, now)],
  ['a revoke-all of the user', (db, userId) => raiseUserEpoch(db, userId, command)],
  ['a deletion', (db, userId) => deleteUser(db, userId, now)],
]

for (const [name, end] of ends) {
  await forEachEngine(
    t,
    `${name} ends the sign-ins of the user, and those that began before it (invariant 17)`,
    async (t, env) => {
      const { db, userId } = await openSeeded(t, env)
      const bob = await addUser(db, 'bob')
      const [his, hers] = [await beginSignIn(db, bob), await beginSignIn(db, userId)]
      const before = { user: await userOf(db, userId), knownSources: Buffer.alloc(16) }
      t.ok(await findSignIn(db, hers.id))
      await end(db, userId)
      t.equal(await findSignIn(db, hers.id), undefined)
      t.equal(await insertSignIn(db, newSignIn('late'), before, endsOf()), undefined, 'a log-in under way')
      t.equal(await renewSignIn(db, hers, renewalOf('late'), before), undefined, 'a step up under way')
      t.equal(await findKnownSources(db, before.user.username), null, 'nor is anything learned from them')
      t.ok(await findSignIn(db, his.id), "another user's goes on")
    },
  )

  await onPostgres(t, `${name} waits for a sign-in that is about to commit, and ends it`, async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const { slow, isDone, commit } = slowWriter(db)
    const user = await userOf(db, userId)
    const late = insertSignIn(slow, newSignIn('late'), { user, knownSources: undefined }, endsOf())
    await isDone
    let hasEnded = false
    const ended = end(db, userId).then(() => {
      hasEnded = true
    })
    const waiting = sql.raw(waitingHere)
    while (!hasEnded && (await waiting.execute(db.sql)).rows.length === 0) await sleep(5)
    t.notOk(hasEnded)
    commit()
    const added = await late
    await ended
    t.ok(added)
    t.equal(await findSignIn(db, added?.signIn.id ?? userId), undefined)
  })
}

const endsOfAll: readonly [name: string, end: (db: Database) => Promise<unknown>][] = [
  ['the end of every session', db => raiseClientEpochs(db, undefined, command)],
  ['another issuer', db => changeIssuer(db, { from: 'https://as.example', to: 'https://b.example', now })],
  [
    'a restored backup',
    async db => {
      await markAsBackup(db, madeAt)
      await reviveBackup(db, { madeAt, now, nextPosition: 0, isSeenTo: true })
    },
  ],
  ['a database that went back and was seen to', db => forgetLost(db, now)],
]

for (const [name, end] of endsOfAll) {
  await forEachEngine(t, `${name} ends every sign-in (invariant 17)`, async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const signIn = await beginSignIn(db, userId)
    const before = { user: await userOf(db, userId), knownSources: undefined }
    await end(db)
    t.equal(await findSignIn(db, signIn.id), undefined)
    t.match(await findLeftSignIn(db, signIn.id), { id: signIn.id, username: 'ada' })
    t.equal(await begin(db, userId, signIn.id), undefined, 'and no session starts with it')
    t.ok(await renewSignIn(db, signIn, renewalOf('again'), before))
    t.ok(await findSignIn(db, signIn.id), 'whoever logs in again in that browser has it again')
    t.equal(await findLeftSignIn(db, signIn.id), undefined)
    const next = await beginSignIn(db, userId)
    t.ok(await findSignIn(db, next.id), 'people log in again')
    t.ok(await begin(db, userId, next.id))
  })
}

await forEachEngine(
  t,
  'a session ends with its sign-in, is told to those who follow, and starts only while that lives',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const signIn = await beginSignIn(db, userId)
    const [tied, other, free] = [
      await begin(db, userId, signIn.id),
      await begin(db, userId, signIn.id),
      await begin(db, userId, null),
    ]
    if (!tied || !other || !free) throw new Error('they have not started')
    t.strictSame(await findSignInOfSession(db, tied), { id: signIn.id, user_id: userId })
    t.equal(await findSignInOfSession(db, free), undefined, 'one that outlives it is of none')
    await revokeSession(db, other, now, 'client')
    const bob = await addUser(db, 'bob')
    t.equal(await begin(db, bob, signIn.id), undefined, 'it is no sign-in of another user')

    const [ended] = (await endSignIns(db, [signIn.id], logOut)) ?? []
    t.strictSame(ended?.sessions, [{ id: tied, clientId: 'web' }], 'those that had not ended before')
    t.match(await findSession(db, tied), { revoked_at: now, revoke_reason: 'log-out' })
    t.match(await findSession(db, other), { revoke_reason: 'client' })
    t.match(await findSession(db, free), { revoked_at: null })
    const feed = await listRevocations(db, { from: 0, limit: 10 })
    t.strictSame(
      feed.map(({ session_id }) => session_id),
      [other, tied],
    )
    t.equal(await begin(db, userId, signIn.id), undefined)
    t.equal(await countOf(db, 'sign_in_sessions'), 0)
    t.equal(await findSignInOfSession(db, tied), undefined)

    const short = await beginSignIn(db, userId, { expires_at: madeAt })
    t.equal(await begin(db, userId, short.id), undefined, 'nor does one start with one that has expired')
  },
)

await onPostgres(
  t,
  'a log-out waits for a session of the sign-in that is about to commit',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const signIn = await beginSignIn(db, userId)
    const logIn = await logInOf(db, userId, signIn.id)
    const { slow, isDone, commit } = slowWriter(db)
    const late = insertLogIn(slow, logIn)
    await isDone
    let hasEnded = false
    const ended = endSignIns(db, [signIn.id], logOut).then(result => {
      hasEnded = true
      return result
    })
    const waiting = sql.raw(waitingHere)
    while (!hasEnded && (await waiting.execute(db.sql)).rows.length === 0) await sleep(5)
    t.notOk(hasEnded)
    commit()
    t.strictSame(await late, [])
    t.match(await ended, [{ sessions: [{ id: logIn.session.id }] }])
    t.match(await findSession(db, logIn.session.id), { revoke_reason: 'log-out' })
  },
)

await forEachEngine(
  t,
  'a log-out ends what its user has in the browser, and nothing of others or of other browsers',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const bob = await addUser(db, 'bob')
    const browser = Buffer.alloc(32, 1)
    const seen = await beginSignIn(db, userId, { browser })
    const twin = await beginSignIn(db, userId, { browser })
    const others = [
      await beginSignIn(db, userId, { browser: Buffer.alloc(32, 2) }),
      await beginSignIn(db, userId),
      await beginSignIn(db, userId, { browser, expires_at: now }),
      await beginSignIn(db, bob, { browser }),
    ]
    const session = await begin(db, userId, twin.id)
    const ended = await endSignInsOfBrowser(db, seen, logOut)
    t.strictSame(ended?.map(({ id }) => id).sort(Buffer.compare), [seen.id, twin.id].sort(Buffer.compare))
    t.strictSame(
      ended?.flatMap(({ sessions }) => sessions.map(({ id }) => id)),
      [session],
    )
    for (const other of others) t.ok(await findSignIn(db, other.id))
    t.equal(await endSignInsOfBrowser(db, seen, logOut), undefined)
    const unknown = await beginSignIn(db, userId)
    t.match(await endSignInsOfBrowser(db, unknown, logOut), [{ id: unknown.id }])
    t.ok(await findSignIn(db, others[1]?.id ?? unknown.id), 'browsers that are not known are not the same')
  },
)

await forEachEngine(
  t,
  'another user in a browser ends the sign-in of before, in one transaction',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const before = await beginSignIn(db, userId)
    const session = await begin(db, userId, before.id)
    const bob = { user: await userOf(db, await addUser(db, 'bob')), knownSources: undefined }
    const replaced = { signIn: before, end: { now, reason: 'another user logged in' } } as const
    const stale = { ...bob, user: { ...bob.user, epoch: 7 } }
    t.equal(await insertSignIn(db, newSignIn('late'), stale, endsOf(replaced)), undefined)
    t.ok(await findSignIn(db, before.id), 'a log-in that fails ends nothing')
    const added = await insertSignIn(db, newSignIn('his'), bob, endsOf(replaced))
    t.match(added, { signIn: { user_id: bob.user.id }, replaced: [{ userId, sessions: [{ id: session }] }] })
    t.equal(await findSignIn(db, before.id), undefined)
    const again = await insertSignIn(db, newSignIn('again'), bob, endsOf(replaced))
    t.strictSame(again?.replaced, [], 'one that has ended by itself is no hindrance')
  },
)

await forEachEngine(
  t,
  'a log-in beyond the bound ends the sign-in unused for longest, with its sessions, and no other',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const bob = await addUser(db, 'bob')
    const user = { user: await userOf(db, userId), knownSources: undefined }
    const add = async (changes: Partial<NewSignIn>, signInsMax = 3) => {
      const added = await insertSignIn(db, newSignIn('next', changes), user, endsOf(undefined, signInsMax))
      if (!added) throw new Error('it was not added')
      return added
    }
    const his = await beginSignIn(db, bob, { used_at: 1 })
    const used = await beginSignIn(db, userId, { used_at: madeAt + 5 })
    const unused = await beginSignIn(db, userId, { used_at: madeAt + 2 })
    const expired = await beginSignIn(db, userId, { used_at: 1, expires_at: madeAt })
    const [session, other] = [await begin(db, userId, unused.id), await begin(db, userId, used.id)]
    if (!session || !other) throw new Error('they have not started')
    t.strictSame((await add({ used_at: madeAt + 3 })).surplus, [], 'as many as may be')
    const { surplus, signIn } = await add({ used_at: 1 })
    t.strictSame(surplus, [{ id: unused.id, userId, sessions: [{ id: session, clientId: 'web' }] }])
    t.match(await findSession(db, session), { revoked_at: madeAt + 1, revoke_reason: 'limit' })
    t.match(await findSession(db, other), { revoked_at: null })
    for (const { id } of [his, used, signIn]) t.ok(await findSignIn(db, id), 'the others go on')
    t.equal(await countOf(db, 'sign_ins'), 5, 'an expired one is none')
    t.ok(await findSignIn(db, expired.id), 'and is left to the sweeper')

    for (let i = 0; i < 15; i++) await beginSignIn(db, userId, { used_at: madeAt + 5 })
    t.equal((await add({}, 1)).surplus.length, 10, 'a lower bound is reached step by step')
    while ((await add({}, 1)).surplus.length > 1);
    t.equal(await countOf(db, 'sign_ins'), 3)
  },
)

await forEachEngine(t, 'of log-ins at once beyond the bound all get in', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const user = { user: await userOf(db, userId), knownSources: undefined }
  for (let i = 0; i < 5; i++) await beginSignIn(db, userId)
  const bound = endsOf(undefined, 5)
  const added = await Promise.all(
    Array.from({ length: 8 }, () => insertSignIn(db, newSignIn('next'), user, bound)),
  )
  t.ok(added.every(one => one !== undefined))
  t.ok((await countOf(db, 'sign_ins')) >= 5)
  while ((await insertSignIn(db, newSignIn('last'), user, bound))?.surplus.length !== 1);
  t.equal(await countOf(db, 'sign_ins'), 5)
})

await forEachEngine(
  t,
  'the sweeper deletes sign-ins that expired long ago or that an epoch has ended, with bounded steps',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const day = 86_400
    const [bob, carol] = [await addUser(db, 'bob'), await addUser(db, 'carol')]
    const longAgo = madeAt - 7 * day
    for (let i = 0; i < 12; i++) await beginSignIn(db, bob)
    await changePassword(db, bob, password, now)
    for (let i = 0; i < 13; i++) await beginSignIn(db, userId, { expires_at: longAgo })
    for (let i = 0; i < 3; i++) await beginSignIn(db, carol)
    const living = [
      await beginSignIn(db, userId),
      await beginSignIn(db, bob),
      await beginSignIn(db, userId, { expires_at: longAgo + 100 }),
    ]
    await deleteUser(db, carol, now)
    t.equal(await countOf(db, 'sign_ins'), 28, 'a user who is deleted takes them away')

    const limits = { rowsMax: 10, deletedMax: 5, keepSeconds: 7 * day, restSeconds: 3600 }
    const counts: number[] = []
    for (let second = madeAt; ; second++) {
      const step = await sweepSessions(db, { now: second, clockSeconds: 10_000 * day, ...limits })
      counts.push(await countOf(db, 'sign_ins'))
      t.match(step, { examined: 0, swept: 0 }, 'sessions are counted apart')
      if (step?.isPassed !== false) break
    }
    t.ok(counts.length >= 5, 'in several steps')
    t.ok(
      counts.every((count, i) => (counts[i - 1] ?? 28) - count <= 5),
      'none of which deletes more than it may',
    )
    const left = await db.sql.selectFrom('sign_ins').select('id').orderBy('id').execute()
    t.strictSame(
      left.map(({ id }) => id),
      living.map(({ id }) => id).sort((a, b) => a.compare(b)),
    )

    await raiseClientEpochs(db, undefined, command)
    await sweepSessions(db, { now: madeAt + day, clockSeconds: 10_000 * day, ...limits })
    t.equal(await countOf(db, 'sign_ins'), 2, 'those that ended with all others stay')
    await sweepSessions(db, { now: madeAt + 8 * day, clockSeconds: 10_000 * day, ...limits })
    t.equal(await countOf(db, 'sign_ins'), 0, 'until they would have expired')
  },
)

await forEachEngine(t, 'what ties a session to its sign-in goes with the session', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const signIn = await beginSignIn(db, userId)
  const [old, living] = [await begin(db, userId, signIn.id), await begin(db, userId, signIn.id)]
  if (!old || !living) throw new Error('they have not started')
  await db.sql.updateTable('sessions').set({ expires_at: 1 }).where('id', '=', old).execute()
  const limits = { rowsMax: 10, deletedMax: 5, keepSeconds: 60, restSeconds: 3600 }
  await sweepSessions(db, { now, clockSeconds: 60, ...limits })
  const ties = await db.sql.selectFrom('sign_in_sessions').select('session_id').execute()
  t.strictSame(ties, [{ session_id: living }])
})

/** What a user was asked about, as `rememberConsent` takes it. */
async function askedOf(t: Test, db: Database, userId: Buffer) {
  const client = await findClient(db, 'web')
  if (!client) throw new Error(`${t.name}: the client is gone`)
  const user = await userOf(db, userId)
  return (scope: readonly string[], resource: string | null = null) => ({
    id: newUuid(madeAt),
    user,
    client,
    resource,
    scope,
    now: madeAt,
  })
}

await forEachEngine(t, 'consents add up, each for its client and resource', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const asked = await askedOf(t, db, userId)
  const key = { userId, clientId: 'web', resource: null }
  const scopeOf = async (resource: string | null) => (await findConsent(db, { ...key, resource }))?.scope
  t.equal(await scopeOf(null), undefined)
  t.match(await rememberConsent(db, asked(['read'])), { scope: 'read', granted_at: madeAt })
  t.match(await rememberConsent(db, asked(['write', 'read'])), { scope: 'read write' })
  t.match(await rememberConsent(db, asked(['admin'], 'https://a.example')), { scope: 'admin' })
  t.match(await rememberConsent(db, asked([], 'https://b.example')), { scope: '' }, 'also to nothing more')
  t.match(await rememberConsent(db, asked(['read'], 'https://b.example')), { scope: 'read' })
  t.equal(await scopeOf(null), 'read write')
  t.equal(await scopeOf('https://a.example'), 'admin')
  t.equal(await scopeOf('https://c.example'), undefined)
  t.equal(await findConsent(db, { ...key, clientId: 'other' }), undefined)

  const scopes = ['one', 'two', 'three', 'four']
  await Promise.all(scopes.map(scope => rememberConsent(db, asked([scope], 'https://d.example'))))
  t.strictSame((await scopeOf('https://d.example'))?.split(' ').sort(), scopes.toSorted(), 'at once too')

  const [session, other] = [await begin(db, userId, null), await begin(db, await addUser(db, 'bob'), null)]
  if (!session || !other) throw new Error('they have not started')
  const end = { now, reason: 'consent withdrawn' } as const
  t.strictSame(await withdrawConsent(db, key, end), [{ id: session, clientId: 'web' }])
  t.equal(await withdrawConsent(db, key, end), undefined, 'once')
  t.match(await findSession(db, session), { revoked_at: now, revoke_reason: 'consent withdrawn' })
  t.match(await findSession(db, other), { revoked_at: null })
  t.equal(await countOf(db, 'consents'), 0, 'for all resources')
})

await forEachEngine(
  t,
  'a session starts only while what was allowed for it is not withdrawn',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const asked = await askedOf(t, db, userId)
    const key = { userId, clientId: 'web' }
    const end = { now, reason: 'consent withdrawn' } as const
    const { id: consentId } = (await rememberConsent(db, asked(['read']))) ?? {}
    if (!consentId) throw new Error('it was not remembered')
    const start = async (changes: Partial<NewLogIn['session']> = {}, id = consentId) => {
      const logIn = await logInOf(db, userId, null)
      return insertLogIn(db, { ...logIn, session: { ...logIn.session, ...changes }, consentId: id })
    }
    t.ok(await start())
    t.match(await rememberConsent(db, asked(['write'])), { id: consentId })
    t.ok(await start(), 'more is allowed')
    const bob = await addUser(db, 'bob')
    t.equal(await start({ user_id: bob }), undefined, 'by the user, and nobody else')
    await insertClient(db, plainClientRow({ id: 'other', secret_hash: null, created_at: madeAt }))
    const { epoch } = (await findClient(db, 'other')) ?? {}
    t.equal(
      await start({ client_id: 'other', client_epoch: epoch ?? 0 }),
      undefined,
      'nor through another client',
    )
    t.equal((await withdrawConsent(db, key, end))?.length, 2)
    t.equal(await start(), undefined)
    const { id: again } = (await rememberConsent(db, asked(['read']))) ?? {}
    t.equal(await start(), undefined, 'what is allowed later is for what is asked later')
    t.ok(await start({}, again))
  },
)

await onPostgres(t, 'a withdrawal waits for a session that is about to commit', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const consent = await rememberConsent(db, (await askedOf(t, db, userId))(['read']))
  if (!consent) throw new Error('it was not remembered')
  const logIn = await logInOf(db, userId, null)
  const { slow, isDone, commit } = slowWriter(db)
  const late = insertLogIn(slow, { ...logIn, consentId: consent.id })
  await isDone
  let hasEnded = false
  const end = { now, reason: 'consent withdrawn' } as const
  const ended = withdrawConsent(db, { userId, clientId: 'web' }, end).then(result => {
    hasEnded = true
    return result
  })
  const waiting = sql.raw(waitingHere)
  while (!hasEnded && (await waiting.execute(db.sql)).rows.length === 0) await sleep(5)
  t.notOk(hasEnded)
  commit()
  t.strictSame(await late, [])
  t.strictSame(await ended, [{ id: logIn.session.id, clientId: 'web' }])
})

await forEachEngine(t, 'a consent is for those whom it was asked about (invariant 16)', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const before = await askedOf(t, db, userId)
  await rememberConsent(db, before(['read']))
  await deleteClient(db, 'web', now)
  t.equal(await countOf(db, 'consents'), 0, 'it goes with its client')
  const row = { id: 'web', secret_hash: null, grant_types: 'password', scope: 'read', created_at: madeAt }
  await insertClient(db, plainClientRow(row))
  t.equal(await rememberConsent(db, before(['read'])), undefined, 'another client of the same id')
  const asked = await askedOf(t, db, userId)
  t.ok(await rememberConsent(db, asked(['read'])))
  await changePassword(db, userId, password, now)
  t.equal(await rememberConsent(db, asked(['write'])), undefined, 'a user of before a password change')
  t.match(await findConsent(db, { userId, clientId: 'web', resource: null }), { scope: 'read' })
  await deleteUser(db, userId, now)
  t.equal(await countOf(db, 'consents'), 0, 'and with its user')
})
