import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import type { Rotation } from '../../db/batches.ts'
import {
  deleteClient,
  disableClient,
  enableClient,
  findClient,
  raiseClientEpochs,
} from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { revokeSessions } from '../../db/sessions/pages.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import {
  extendSession,
  findSession,
  healSession,
  markLate,
  revokeSession,
  type Session,
} from '../../db/sessions/sessions.ts'
import { insertSession, type NewSession } from '../../db/sessions/starts.ts'
import {
  changePassword,
  deleteUser,
  disableUser,
  enableUser,
  findUserById,
  raiseUserEpoch,
} from '../../db/users/users.ts'
import { finishOldEndings } from '../../src/endings/finish.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { forEachEngine, onPostgres, type EngineEnv } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { beginSession, madeAt, openSeeded, rotationOf, secretHash } from '../helpers/records.ts'
import { slowWriter } from '../helpers/slow-writer.ts'

interface Opened {
  readonly db: Database
  readonly userId: Buffer
  /** Begins another session of the same user. */
  begin(changes?: Partial<SessionTable>): Promise<Buffer>
}

async function open(t: Test, env: EngineEnv): Promise<Opened> {
  const { db, userId } = await openSeeded(t, env)
  return {
    db,
    userId,
    begin: async (changes = {}) => {
      const id = await beginSession(db, userId)
      if (Object.keys(changes).length > 0)
        await db.sql.updateTable('sessions').set(changes).where('id', '=', id).execute()
      return id
    },
  }
}

async function existing(db: Database, id: Buffer): Promise<Session> {
  const session = await findSession(db, id)
  if (!session) throw new Error('the session is gone')
  return session
}

const last = 0xffff_ffff
const raised = { reason: 'command', now: madeAt } as const
const password = { password_hash: 'another', root_key_id: 'none' }

await forEachEngine(
  t,
  'a rotation moves the session on once, and opens a window if none is open',
  async (t, env) => {
    const { db, begin } = await open(t, env)
    const id = await begin()
    t.match(await rotateSession(db, rotationOf(id)), {
      scope: 'read',
      roles: 'editor',
      auth_time: madeAt,
      expires_at: madeAt + 1010,
    })
    t.equal(await rotateSession(db, rotationOf(id)), undefined, 'the same snapshot again changes nothing')
    const opened = { window_generation: 0, window_opened_at: madeAt + 10 }
    t.match(await existing(db, id), { ...opened, generation: 1, rotated_at: madeAt + 10, late_history: 0 })

    const rotateAt = async (generation: number, now: number, more: Partial<Rotation> = {}) => {
      const rotated = await rotateSession(db, rotationOf(id, { generation, now, ...more }))
      t.ok(rotated, `generation ${generation} at ${now - madeAt} s`)
      return existing(db, id)
    }
    t.match(await rotateAt(1, madeAt + 19), opened, 'a window does not slide')
    t.match(
      await rotateAt(2, madeAt + 20),
      { window_generation: 2, window_opened_at: madeAt + 20 },
      'after ten seconds the next one opens',
    )
    t.match(
      await rotateAt(3, madeAt + 11),
      { window_generation: 2 },
      'a clock that is set back by less leaves it open',
    )
    t.match(
      await rotateAt(4, madeAt + 10),
      { window_generation: 4, window_opened_at: madeAt + 10 },
      'by more closes it',
    )

    await markLate(db, await existing(db, id), 0b1000_0001)
    t.match(
      await rotateAt(5, madeAt + 11),
      { late_history: 0b0000_0010 },
      'the history is of eight generations',
    )
    t.match(
      await rotateAt(6, madeAt + 12, { idleExpiresAt: madeAt + 9000 }),
      { expires_at: madeAt + 5000, absolute_expires_at: madeAt + 5000 },
      'the idle limit never passes the absolute one',
    )
  },
)

const ends: readonly [name: string, end: (opened: Opened) => Promise<unknown>][] = [
  ["a raised user's epoch", ({ db, userId }) => raiseUserEpoch(db, userId, raised)],
  ['a new password', ({ db, userId }) => changePassword(db, userId, password, madeAt)],
  ['a disabled user', ({ db, userId }) => disableUser(db, userId, madeAt)],
  ['a deleted user', ({ db, userId }) => deleteUser(db, userId, madeAt)],
  ["a raised client's epoch", ({ db }) => raiseClientEpochs(db, 'web', raised)],
  ['a disabled client', ({ db }) => disableClient(db, 'web', madeAt)],
  ['a deleted client', ({ db }) => deleteClient(db, 'web', madeAt)],
]

await forEachEngine(t, 'a rotation happens only under every one of its conditions', async (t, env) => {
  const conditions: [name: string, rotation: Partial<Rotation>, session: Partial<SessionTable>][] = [
    ['an older generation', {}, { generation: 1 }],
    ['a newer generation', { generation: 1 }, {}],
    ['the last generation', { generation: last }, { generation: last }],
    ['another session secret', { secretHash: hashSecret('another') }, {}],
    ["another client's", { clientId: 'other' }, {}],
    [
      "a resource that is not the client's any more",
      { resources: ' https://api.example/v2  https://b.example ' },
      { resource: 'https://api.example' },
    ],
    ['a revoked session', {}, { revoked_at: madeAt }],
    ['an expired session', {}, { expires_at: madeAt + 10 }],
    ['an unknown session', { sessionId: newUuid(madeAt) }, {}],
  ]
  const { db, begin } = await open(t, env)
  for (const [name, rotation, session] of conditions) {
    const id = await begin(session)
    const before = await existing(db, id)
    t.equal(await rotateSession(db, rotationOf(id, rotation)), undefined, name)
    t.strictSame(await existing(db, id), before, `${name}: nothing is changed`)
  }
  t.ok(await rotateSession(db, rotationOf(await begin())), 'and else it happens')
  const bound = await begin({ resource: 'https://api.example' })
  const resources = ' https://b.example  https://api.example '
  t.ok(await rotateSession(db, rotationOf(bound, { resources })), "also for a resource that is the client's")
})

for (const [name, end] of ends) {
  await forEachEngine(
    t,
    `${name} ends sessions, and those that a log-in is about to begin`,
    async (t, env) => {
      const opened = await open(t, env)
      const { db, begin, userId } = opened
      const id = await begin()
      const late = await newSession(opened)
      t.equal((await existing(db, id)).isOfThisEpoch, true)
      await end(opened)
      t.equal(await rotateSession(db, rotationOf(id)), undefined, 'no rotation')
      t.equal((await existing(db, id)).isOfThisEpoch, false, 'and whoever reads it sees why')
      t.equal(
        await insertSession(db, late),
        false,
        'no session of a log-in that began before it (invariant 11)',
      )
      t.equal(await findSession(db, late.id), undefined)

      if (name.includes('disabled')) {
        const epochs = await currentEpochs(opened)
        t.equal(await insertSession(db, { ...late, ...epochs }), false, 'nor of one that began after it')
      }

      await enableUser(db, userId)
      await enableClient(db, 'web')
      t.equal(
        await rotateSession(db, rotationOf(id)),
        undefined,
        'and what is enabled again brings none back',
      )
      t.equal(await insertSession(db, late), false)
    },
  )
}

for (const [name, end] of ends) {
  await onPostgres(t, `${name} waits for a log-in that is about to commit`, async (t, env) => {
    const opened = await open(t, env)
    const { db } = opened
    const late = await newSession(opened)
    const { slow, isDone, commit } = slowWriter(db)
    const logIn = insertSession(slow, late)
    await isDone
    let hasEnded = false
    const ended = (async () => {
      await end(opened)
      hasEnded = true
      await finishOldEndings(db, { clock: handClock(madeAt + 100) })
    })()
    const waiting = sql.raw(waitingHere)
    while (!hasEnded && (await waiting.execute(db.sql)).rows.length === 0) await sleep(5)
    t.notOk(hasEnded)
    if (hasEnded) await ended
    commit()
    t.equal(await logIn, true)
    await ended
    t.type(
      (await findSession(db, late.id))?.revoked_at ?? madeAt,
      'number',
      'its session has ended, or is gone',
    )
    const feed = await db.sql.selectFrom('revocations').selectAll().execute()
    t.equal(feed.length, 1, 'and whoever follows the revocations hears of it')
  })
}

async function currentEpochs({
  db,
  userId,
}: Opened): Promise<Pick<NewSession, 'user_epoch' | 'client_epoch'>> {
  const user = await findUserById(db, userId)
  const client = await findClient(db, 'web')
  return { user_epoch: user?.epoch ?? 0, client_epoch: client?.epoch ?? 0 }
}

async function newSession({ db, userId }: Opened): Promise<NewSession> {
  const client = await findClient(db, 'web')
  if (!client) throw new Error('unreachable: it was made at the start')
  return {
    id: newUuid(madeAt),
    user_id: userId,
    client_id: 'web',
    user_epoch: 0,
    client_epoch: client.epoch,
    secret_hash: secretHash,
    scope: 'read',
    resource: null,
    auth_time: madeAt,
    amr: 'pwd',
    expires_at: madeAt + 1000,
    absolute_expires_at: madeAt + 5000,
    status_position: 0,
    last_address: null,
  }
}

await forEachEngine(
  t,
  'of two changes that were judged on one snapshot, the second is lost',
  async (t, env) => {
    const opened = await open(t, env)
    const { db, begin } = opened
    const session = await newSession(opened)
    t.equal(await insertSession(db, session), true)
    t.equal(await insertSession(db, session), false, 'a session with the same id')
    const machine = { ...session, user_id: null, secret_hash: null }
    t.equal(await insertSession(db, { ...machine, id: newUuid(madeAt) }), true)
    t.equal(await insertSession(db, { ...machine, id: newUuid(madeAt) }), false, 'a second machine session')

    const address = '192.0.2.7'
    const id = await begin()
    const snapshot = await existing(db, id)
    t.equal(await markLate(db, snapshot, 1), true)
    t.equal(await markLate(db, snapshot, 3), false, 'a mark')
    t.match(await existing(db, id), { late_history: 1 })

    const healed = { generation: 5, now: madeAt + 20, expiresAt: madeAt + 1020 }
    t.equal(await healSession(db, snapshot, healed), true)
    t.equal(await healSession(db, snapshot, { ...healed, generation: 6 }), false, 'a healing')
    t.match(await existing(db, id), {
      generation: 5,
      late_history: 0,
      window_generation: 5,
      window_opened_at: 0,
      expires_at: madeAt + 1020,
    })
    const unbound = await existing(db, id)
    const key = randomBytes(32)
    t.equal(await healSession(db, unbound, { ...healed, keyThumbprint: key }), true, 'one that binds')
    t.match(await existing(db, id), { key_thumbprint: key, bound_generation: 5 })
    const rebinding = { ...healed, keyThumbprint: randomBytes(32) }
    t.equal(await healSession(db, await existing(db, id), rebinding), false, 'a binding stays')
    t.equal(await healSession(db, await existing(db, id), healed), true)
    t.match(await existing(db, id), { key_thumbprint: key, bound_generation: 5 })
    t.equal(await markLate(db, snapshot, 1), false, 'a mark of a generation that has passed')
    t.equal(
      await extendSession(db, snapshot, { now: madeAt, expiresAt: madeAt + 1, address }),
      false,
      'an extension of one that has passed',
    )
    t.equal(
      await extendSession(db, await existing(db, id), {
        now: madeAt + 30,
        expiresAt: madeAt + 1030,
        address,
      }),
      true,
    )
    t.match(await existing(db, id), {
      expires_at: madeAt + 1030,
      rotated_at: madeAt + 30,
      last_address: address,
    })

    const current = await existing(db, id)
    t.equal(await revokeSession(db, id, madeAt + 40, 'admin'), true)
    t.equal(await revokeSession(db, id, madeAt + 50, 'theft'), false, 'a revocation')
    const revoked = await existing(db, id)
    t.match(revoked, { revoked_at: madeAt + 40, revoke_reason: 'admin' }, 'the first one counts')
    t.equal(await markLate(db, current, 7), false)
    t.equal(await extendSession(db, current, { now: madeAt, expiresAt: madeAt + 2000, address }), false)
    t.equal(await healSession(db, current, { ...healed, generation: 9 }), false)
    t.strictSame(await existing(db, id), revoked, 'nothing moves a revoked session')

    const others = [await begin(), await begin()]
    const end = { now: madeAt + 60, reason: 'command' }
    t.strictSame(new Set(await revokeSessions(db, [id, ...others], end)), new Set(others), 'those that lived')
    t.strictSame(await revokeSessions(db, [id, ...others], end), [])
    const feed = await db.sql.selectFrom('revocations').select('session_id').orderBy('seq').execute()
    t.strictSame(
      new Set(feed.map(row => row.session_id.toString('hex'))),
      new Set([id, ...others].map(one => one.toString('hex'))),
      'each is told to other instances once',
    )
    t.equal(feed.length, 3)
  },
)

await forEachEngine(
  t,
  'a session that is read is never one that a transaction then undoes',
  async (t, env) => {
    const { db, begin } = await open(t, env)
    const id = await begin()
    let read: Promise<Session> | undefined
    await t.rejects(
      db.transact(async transaction => {
        await transaction.updateTable('sessions').set({ scope: 'never' }).where('id', '=', id).execute()
        read = existing(db, id)
        throw new Error('undone')
      }),
      { message: 'undone' },
    )
    t.not((await read)?.scope, 'never')
    t.not((await existing(db, id)).scope, 'never')
  },
)
