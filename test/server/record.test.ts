import { deepStrictEqual, equal } from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { listAuditEntries, type AuditFilter } from '../../db/installation/audit.ts'
import { raiseRevision } from '../../db/installation/installation.ts'
import type { Writer } from '../../db/writer.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import type { Actor } from '../../src/record/actor.ts'
import { openCounts } from '../../src/record/counts.ts'
import type { Counts } from '../../src/record/counts.ts'
import { eventNames, type Event, type EventName } from '../../src/record/events.ts'
import { openLog } from '../../src/record/log.ts'
import { record, type Recorder } from '../../src/record/record.ts'
import {
  readRevocationLog,
  silentLog,
  writeLine,
  type LoggedRevocation,
} from '../../src/record/restore-log.ts'
import { startedAt, startServer } from '../helpers/server.ts'
import { runsOf } from '../helpers/runs.ts'

const [user, session, other] = [1, 2, 3].map(byte => Buffer.alloc(16, byte)) as [Buffer, Buffer, Buffer]
const at = startedAt
const sub = formatUuid(user)
const ofSession = { userId: user, clientId: 'web', sessionId: session }
const ofUser = { user_id: user, client_id: null, session_id: null }
const ofClient = { user_id: null, client_id: 'web', session_id: null }
const ofNone = { user_id: null, client_id: null, session_id: null }
const ofAll = { user_id: user, client_id: 'web', session_id: session }
const generations = { presented: 1, current: 3 }
const changes = { scope: { from: ['read'], to: ['read', 'write'] } }
const policy = { key_rotation_seconds: 1, jwks_max_age_seconds: 2, clock_skew_seconds: 3 }
const clients = [
  { id: 'web', epoch: 4 },
  { id: 'ops', epoch: 7 },
]
const rootKeys = { root_key_from: 'aaaaaaaa', root_key_to: 'bbbbbbbb' }

interface Told {
  /** Whose the row is. */
  readonly row: object
  /** The log's lines, without their time. */
  readonly lines?: readonly object[]
  /** What a restore reads of them. */
  readonly read?: readonly LoggedRevocation[]
  /** What is counted, as in `verdicts.theft`. */
  readonly counted?: string
}

function ofUserEpoch(reason: string): Pick<Told, 'lines' | 'read'> {
  const line = { level: 30, event: 'user_revoked', sub, epoch: 4, by: 'web', reason, at }
  return {
    lines: [{ ...line, msg: 'user was revoked' }],
    read: [{ event: 'user_revoked', sub: user, epoch: 4, reason, at }],
  }
}

function ofClientEpochs(reason: string, ended: typeof clients): Required<Pick<Told, 'lines' | 'read'>> {
  return {
    lines: ended.map(({ id, epoch }) => ({
      level: 30,
      event: 'client_revoked',
      client_id: id,
      epoch,
      by: 'web',
      reason,
      at,
      msg: 'client was revoked',
    })),
    read: ended.map(({ id, epoch }) => ({ event: 'client_revoked', clientId: id, epoch, reason, at })),
  }
}

const restart = {
  line: {
    level: 40,
    event: 'all_keys_revoked',
    kids: ['k'],
    ...rootKeys,
    by: 'web',
    reason: 'stolen',
    at,
    msg: 'all signing keys were revoked, and all sessions ended',
  },
  read: {
    event: 'all_keys_revoked',
    kids: ['k'],
    rootKeyFrom: 'aaaaaaaa',
    rootKeyTo: 'bbbbbbbb',
    reason: 'stolen',
    at,
  } as const,
}

/** Each event, and where it is told. */
const all: { readonly [Name in EventName]: readonly [Event<Name>, Told] } = {
  log_in: [{ event: 'log_in', ...ofSession }, { row: ofAll }],
  log_in_failed: [
    { event: 'log_in_failed', userId: null, clientId: 'web', detail: { reason: 'there is no such user' } },
    { row: ofClient },
  ],
  log_in_throttled: [
    { event: 'log_in_throttled', clientId: 'web', detail: { limit: 'account' } },
    { row: ofClient },
  ],
  client_refused: [
    { event: 'client_refused', clientId: null, detail: { reason: 'the client is unknown' } },
    { row: ofNone },
  ],
  client_throttled: [
    { event: 'client_throttled', clientId: 'web', detail: { reason: 'the client secret is wrong' } },
    { row: ofClient },
  ],
  assertion_accepted: [
    {
      event: 'assertion_accepted',
      clientId: 'web',
      userId: user,
      detail: { issuer: 'https://ci.example', subject: 'repo:acme/shop' },
    },
    { row: { ...ofClient, user_id: user } },
  ],
  assertion_refused: [
    {
      event: 'assertion_refused',
      clientId: null,
      detail: { issuer: 'https://ci.example', reason: 'it has expired (exp)' },
    },
    { row: ofNone },
  ],
  sign_in_started: [
    {
      event: 'sign_in_started',
      userId: user,
      detail: { sign_in: formatUuid(other), amr: 'pwd', persistent: true },
    },
    { row: ofUser, counted: 'signIns.started' },
  ],
  sign_in_renewed: [
    {
      event: 'sign_in_renewed',
      userId: user,
      detail: { sign_in: formatUuid(other), amr: 'pwd', amr_before: 'pwd mfa otp' },
    },
    { row: ofUser, counted: 'signIns.renewed' },
  ],
  sign_in_ended: [
    { event: 'sign_in_ended', userId: user, detail: { sign_in: formatUuid(other), reason: 'log-out' } },
    { row: ofUser, counted: 'signIns.ended' },
  ],
  consent_granted: [
    { event: 'consent_granted', userId: user, clientId: 'web', detail: { scope: ['read'] } },
    { row: { ...ofUser, client_id: 'web' } },
  ],
  consent_withdrawn: [
    { event: 'consent_withdrawn', userId: user, clientId: 'web' },
    { row: { ...ofUser, client_id: 'web' } },
  ],
  device_approved: [
    { event: 'device_approved', ...ofSession },
    { row: ofAll, counted: 'devices.approved' },
  ],
  device_denied: [
    { event: 'device_denied', ...ofSession, userId: null },
    { row: { ...ofAll, user_id: null }, counted: 'devices.denied' },
  ],
  user_code_failed: [{ event: 'user_code_failed' }, { row: ofNone }],
  user_code_throttled: [{ event: 'user_code_throttled' }, { row: ofNone }],
  passkey_added: [
    {
      event: 'passkey_added',
      userId: user,
      detail: { passkey: formatUuid(session), rp_id: 'as.example', synced: true },
    },
    { row: { ...ofUser, detail: { passkey: formatUuid(session), rp_id: 'as.example', synced: true } } },
  ],
  passkey_renamed: [
    { event: 'passkey_renamed', userId: user, detail: { passkey: formatUuid(session) } },
    { row: { ...ofUser, detail: { passkey: formatUuid(session) } } },
  ],
  passkey_removed: [
    { event: 'passkey_removed', userId: user, detail: { passkey: formatUuid(session) } },
    { row: { ...ofUser, detail: { passkey: formatUuid(session) } } },
  ],
  passkey_counter_back: [
    {
      event: 'passkey_counter_back',
      userId: user,
      detail: { passkey: formatUuid(session), presented: 3, current: 4 },
    },
    { row: { ...ofUser, detail: { passkey: formatUuid(session), presented: 3, current: 4 } } },
  ],
  machine_session_started: [
    { event: 'machine_session_started', clientId: 'web', sessionId: session },
    { row: { ...ofClient, session_id: session } },
  ],
  user_impersonated: [
    {
      event: 'user_impersonated',
      ...ofSession,
      detail: { resource: 'https://api.example', scope: ['read'] },
    },
    { row: { ...ofAll, detail: { resource: 'https://api.example', scope: ['read'] } } },
  ],
  personal_access_token_created: [
    {
      event: 'personal_access_token_created',
      ...ofSession,
      detail: { resource: 'https://api.example', scope: ['read'], amr: 'pwd', expires_at: 2 },
    },
    { row: ofAll },
  ],
  session_late: [
    { event: 'session_late', ...ofSession, detail: generations },
    { row: ofAll, counted: 'verdicts.late' },
  ],
  session_healed: [
    { event: 'session_healed', ...ofSession, detail: generations },
    { row: ofAll, counted: 'verdicts.heal' },
  ],
  session_theft: [
    {
      event: 'session_theft',
      ...ofSession,
      at,
      detail: { ...generations, last_address: '192.0.2.2' },
    },
    {
      row: ofAll,
      lines: [
        {
          level: 40,
          event: 'session_revoked',
          sid: formatUuid(session),
          by: 'server',
          reason: 'theft',
          at,
          client_id: 'web',
          ...generations,
          msg: 'a refresh token was reused by two holders',
        },
      ],
      read: [{ event: 'session_revoked', sid: session, reason: 'theft', at }],
      counted: 'verdicts.theft',
    },
  ],
  code_replayed: [
    {
      event: 'code_replayed',
      ...ofSession,
      at,
      detail: { presented_by: 'other', last_address: '192.0.2.2' },
    },
    {
      row: ofAll,
      lines: [
        {
          level: 40,
          event: 'session_revoked',
          sid: formatUuid(session),
          by: 'server',
          reason: 'code used twice',
          at,
          client_id: 'web',
          presented_by: 'other',
          msg: 'an authorization code was used twice',
        },
      ],
      read: [{ event: 'session_revoked', sid: session, reason: 'code used twice', at }],
    },
  ],
  session_revoked: [
    {
      event: 'session_revoked',
      ...ofSession,
      at,
      detail: { reason: 'client' },
      tokenType: 'refresh_token',
    },
    {
      row: ofAll,
      lines: [
        {
          level: 30,
          event: 'session_revoked',
          sid: formatUuid(session),
          by: 'web',
          reason: 'client',
          at,
          client_id: 'web',
          sub,
          token_type: 'refresh_token',
          msg: 'session was revoked',
        },
      ],
      read: [{ event: 'session_revoked', sid: session, reason: 'client', at }],
      counted: 'revocations.client',
    },
  ],
  user_revoked: [
    {
      event: 'user_revoked',
      userId: user,
      ended: { epoch: 4, reason: 'admin', at },
      detail: { reason: 'admin' },
    },
    { row: ofUser, ...ofUserEpoch('admin'), counted: 'revocations.admin' },
  ],
  client_revoked: [
    {
      event: 'client_revoked',
      clientId: null,
      ended: { clients, reason: 'restored', at },
      detail: { all: true, reason: 'restored' },
    },
    { row: ofNone, ...ofClientEpochs('restored', clients) },
  ],
  job_created: [
    {
      event: 'job_created',
      userId: user,
      clientId: null,
      detail: { job: 'x', act: 'end_sessions', choice: { idle_for: 60 } },
    },
    { row: ofUser },
  ],
  job_stopped: [{ event: 'job_stopped', detail: { job: 'x' } }, { row: ofNone }],
  user_created: [{ event: 'user_created', userId: user, detail: { username: 'ada' } }, { row: ofUser }],
  users_imported: [{ event: 'users_imported', detail: { file: '00ff', users: 3 } }, { row: ofNone }],
  users_exported: [{ event: 'users_exported', detail: { with_hashes: false } }, { row: ofNone }],
  users_export_ended: [
    { event: 'users_export_ended', detail: { with_hashes: false, users: 3, is_whole: true } },
    { row: ofNone },
  ],
  user_changed: [
    {
      event: 'user_changed',
      userId: user,
      detail: { roles: { from: ['read'], to: ['read', 'write'] }, claims: ['email'] },
    },
    { row: ofUser },
  ],
  user_renamed: [
    { event: 'user_renamed', userId: user, detail: { from: 'ada', to: 'ada.lovelace' } },
    { row: ofUser },
  ],
  user_password_changed: [
    { event: 'user_password_changed', userId: user, ended: { epoch: 4, reason: 'password changed', at } },
    { row: ofUser, ...ofUserEpoch('password changed') },
  ],
  user_disabled: [
    { event: 'user_disabled', userId: user, ended: { epoch: 4, reason: 'user disabled', at } },
    { row: ofUser, ...ofUserEpoch('user disabled') },
  ],
  totp_added: [{ event: 'totp_added', userId: user }, { row: ofUser }],
  totp_removed: [{ event: 'totp_removed', userId: user }, { row: ofUser }],
  recovery_codes_renewed: [{ event: 'recovery_codes_renewed', userId: user }, { row: ofUser }],
  recovery_codes_removed: [{ event: 'recovery_codes_removed', userId: user }, { row: ofUser }],
  recovery_code_used: [
    { event: 'recovery_code_used', userId: user, detail: { left: 9 } },
    { row: { ...ofUser, detail: { left: 9 } } },
  ],
  user_enabled: [{ event: 'user_enabled', userId: user }, { row: ofUser }],
  link_mailed: [
    { event: 'link_mailed', userId: user, detail: { link: 'reset' } },
    { row: { ...ofUser, detail: { link: 'reset' } } },
  ],
  mailed_code_failed: [
    { event: 'mailed_code_failed', userId: user, detail: { link: 'reset' } },
    { row: { ...ofUser, detail: { link: 'reset' } } },
  ],
  mailed_code_throttled: [
    { event: 'mailed_code_throttled', userId: null, detail: { link: 'sign_up' } },
    { row: { ...ofNone, detail: { link: 'sign_up' } } },
  ],
  user_deleted: [
    {
      event: 'user_deleted',
      userId: user,
      ended: { epoch: 4, reason: 'user deleted', at },
      detail: { username: 'ada' },
    },
    { row: ofUser, ...ofUserEpoch('user deleted') },
  ],
  admin_recovered: [
    { event: 'admin_recovered', userId: user, detail: { factors_removed: true } },
    { row: ofUser },
  ],
  group_created: [{ event: 'group_created', detail: { group: 'staff', roles: ['editor'] } }, { row: ofNone }],
  group_changed: [
    { event: 'group_changed', detail: { group: 'staff', roles: changes.scope } },
    { row: ofNone },
  ],
  group_deleted: [{ event: 'group_deleted', detail: { group: 'staff' } }, { row: ofNone }],
  registration_token_created: [
    { event: 'registration_token_created', detail: { registration_token: 'r', clients_max: 1 } },
    { row: ofNone },
  ],
  registration_token_deleted: [
    { event: 'registration_token_deleted', detail: { registration_token: 'r' } },
    { row: ofNone },
  ],
  client_created: [{ event: 'client_created', clientId: 'web', detail: { scope: [] } }, { row: ofClient }],
  client_changed: [{ event: 'client_changed', clientId: 'web', detail: changes }, { row: ofClient }],
  client_secret_rotated: [
    {
      event: 'client_secret_rotated',
      clientId: 'web',
      detail: { from: 'client_secret', old_secret_expires_at: null },
    },
    { row: ofClient },
  ],
  client_keys_set: [
    {
      event: 'client_keys_set',
      clientId: 'web',
      detail: { from: 'client_secret', jwks: null, jwks_uri: 'https://a/', old_secret_expires_at: 5 },
    },
    { row: ofClient },
  ],
  client_disabled: [
    { event: 'client_disabled', clientId: 'web', ended: { epoch: 4, reason: 'client disabled', at } },
    { row: ofClient, ...ofClientEpochs('client disabled', clients.slice(0, 1)) },
  ],
  client_enabled: [{ event: 'client_enabled', clientId: 'web' }, { row: ofClient }],
  client_deleted: [
    {
      event: 'client_deleted',
      clientId: 'web',
      ended: { epoch: 4, reason: 'client deleted', at },
      resources: '',
    },
    { row: ofClient, ...ofClientEpochs('client deleted', clients.slice(0, 1)) },
  ],
  resource_created: [{ event: 'resource_created', detail: { uri: 'https://a/' } }, { row: ofNone }],
  resource_changed: [
    { event: 'resource_changed', detail: { uri: 'https://a/', ...changes } },
    { row: ofNone },
  ],
  resource_deleted: [{ event: 'resource_deleted', detail: { uri: 'https://a/' } }, { row: ofNone }],
  claim_created: [{ event: 'claim_created', detail: { claim: 'plan', kind: 'string' } }, { row: ofNone }],
  claim_changed: [{ event: 'claim_changed', detail: { claim: 'plan', ...changes } }, { row: ofNone }],
  claim_deleted: [{ event: 'claim_deleted', detail: { claim: 'plan' } }, { row: ofNone }],
  trusted_issuer_created: [
    { event: 'trusted_issuer_created', detail: { issuer: 'https://ci.example', reusable: false } },
    { row: ofNone },
  ],
  trusted_issuer_changed: [
    {
      event: 'trusted_issuer_changed',
      detail: { issuer: 'https://ci.example', reusable: { from: false, to: true } },
    },
    { row: ofNone },
  ],
  trusted_issuer_deleted: [
    { event: 'trusted_issuer_deleted', detail: { issuer: 'https://ci.example' } },
    { row: ofNone },
  ],
  stream_created: [{ event: 'stream_created', clientId: 'web', detail: { stream: sub } }, { row: ofClient }],
  stream_changed: [{ event: 'stream_changed', clientId: 'web', detail: { stream: sub } }, { row: ofClient }],
  stream_deleted: [{ event: 'stream_deleted', clientId: 'web', detail: { stream: sub } }, { row: ofClient }],
  stream_subject_added: [
    { event: 'stream_subject_added', userId: user, clientId: 'web', detail: { stream: sub } },
    { row: { ...ofUser, client_id: 'web' } },
  ],
  stream_subject_removed: [
    { event: 'stream_subject_removed', userId: user, clientId: 'web', detail: { stream: sub } },
    { row: { ...ofUser, client_id: 'web' } },
  ],
  mail_refused: [
    {
      event: 'mail_refused',
      userId: user,
      detail: { kind: 'reset', stage: 'recipient', code: '550 5.1.1' },
    },
    { row: ofUser },
  ],
  mail_failed: [
    {
      event: 'mail_failed',
      userId: null,
      detail: { kind: 'sign_up', tries: 7, reason: 'it could not be sent in time' },
    },
    { row: ofNone },
  ],
  delivery_refused: [
    {
      event: 'delivery_refused',
      clientId: 'web',
      detail: { kind: 'logout', receiver: 'web', reason: 'invalid_request' },
    },
    { row: ofClient },
  ],
  delivery_given_up: [
    {
      event: 'delivery_given_up',
      clientId: 'web',
      detail: { kind: 'logout', receiver: 'web', deliveries: 3, reason: 'it answered 500' },
    },
    { row: ofClient },
  ],
  receiver_paused: [
    {
      event: 'receiver_paused',
      clientId: 'web',
      detail: { kind: 'stream', receiver: 's1', reason: 'it answered 500' },
    },
    { row: ofClient },
  ],
  key_rotated: [{ event: 'key_rotated', detail: { alg: 'ES256', from: null, to: 'k' } }, { row: ofNone }],
  key_rotation_requested: [
    { event: 'key_rotation_requested', detail: { kid: 'k', alg: 'ES256' } },
    { row: ofNone },
  ],
  key_revoked: [
    { event: 'key_revoked', at, detail: { kid: 'k', alg: 'ES256', state: 'active', reason: 'leaked' } },
    {
      row: ofNone,
      lines: [
        {
          level: 40,
          event: 'key_revoked',
          kid: 'k',
          by: 'web',
          reason: 'leaked',
          at,
          alg: 'ES256',
          state: 'active',
          msg: 'a signing key was revoked',
        },
      ],
      read: [{ event: 'key_revoked', kid: 'k', reason: 'leaked', at }],
    },
  ],
  all_keys_revoked: [
    {
      event: 'all_keys_revoked',
      ended: { clients, reason: 'stolen', at },
      detail: { kids: ['k'], reason: 'stolen', ...rootKeys },
    },
    {
      row: ofNone,
      lines: [restart.line, ...ofClientEpochs('stolen', clients).lines],
      read: [restart.read, ...ofClientEpochs('stolen', clients).read],
    },
  ],
  key_policy_changed: [
    { event: 'key_policy_changed', detail: { from: policy, to: policy } },
    { row: ofNone },
  ],
  root_key_rotated: [{ event: 'root_key_rotated', detail: rootKeys }, { row: ofNone }],
  issuer_changed: [
    {
      event: 'issuer_changed',
      ended: { clients, reason: 'issuer changed', at },
      detail: { from: 'https://a/', to: 'https://b/' },
    },
    { row: ofNone, ...ofClientEpochs('issuer changed', clients) },
  ],
  database_migrated: [{ event: 'database_migrated', detail: { applied: ['0001'] } }, { row: ofNone }],
  database_backed_up: [{ event: 'database_backed_up', detail: { file: '/b', bytes: 1 } }, { row: ofNone }],
  database_moved: [{ event: 'database_moved', detail: { from: 'sqlite' } }, { row: ofNone }],
  database_restored: [{ event: 'database_restored', detail: { made_at: 5, from: '/b' } }, { row: ofNone }],
}

const byClient: Actor = {
  kind: 'client',
  id: 'web',
  caller: { address: '192.0.2.1', requestId: 'r-1' },
}

/** A log that keeps its lines, with how each of them may be kept by others. */
function logInMemory() {
  const lines: string[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString().trimEnd())
      done()
    },
  })
  return { lines, log: openLog('info', stream) }
}

/** Changes something, and nothing that matters. */
const change = (db: Writer) =>
  db.transact(async transaction => {
    await raiseRevision(transaction)
    return true
  })

async function world(t: Test) {
  const { ctx } = await startServer(t)
  const { lines, log } = logInMemory()
  const counts = openCounts()
  const by: Recorder = { db: ctx.db, clock: ctx.clock, log, counts, actor: byClient }
  const read = async (text: readonly string[]) => {
    const file = join(ctx.config.home, 'read.log')
    writeFileSync(file, text.map(line => `${line}\n`).join(''))
    return readRevocationLog(file)
  }
  return { by, counts, lines, read, db: ctx.db }
}

async function entriesOf(db: Database, filter: AuditFilter = {}) {
  const entries = []
  for await (const { id, username, ...entry } of listAuditEntries(db, filter)) entries.push(entry)
  return entries
}

const countsOf = ({ verdicts, revocations, signIns, devices }: Counts) =>
  Object.entries({ verdicts, revocations, signIns, devices }).flatMap(([group, counts]) =>
    Object.entries(counts).flatMap(([name, count]) => Array<string>(count).fill(`${group}.${name}`)),
  )

t.test('each event has a row, and where it matters a line that a restore reads and a counter', async t => {
  t.strictSame(Object.keys(all), [...eventNames])
  const { by, read, db } = await world(t)
  for (const [event, told] of Object.values(all)) {
    await t.test(event.event, async t => {
      const { lines, log } = logInMemory()
      const counts = openCounts()
      t.equal(await record({ ...by, log, counts }, event, change), true)
      t.strictSame(await entriesOf(db, { events: [event.event] }), [
        {
          at,
          event: event.event,
          actor: 'client web',
          ...told.row,
          address: '192.0.2.1',
          request_id: 'r-1',
          count: 1,
          detail: 'detail' in event ? JSON.stringify(event.detail) : null,
        },
      ])
      const parsed = lines.map(line => {
        const { time, ...rest } = JSON.parse(line)
        t.type(time, 'number')
        return rest
      })
      t.strictSame(parsed, told.lines ?? [])
      t.strictSame((await read(lines)).revocations, told.read ?? [])
      t.strictSame(countsOf(counts), told.counted === undefined ? [] : [told.counted])
    })
  }
})

t.test('what has not happened is told nowhere', async t => {
  const { by, counts, lines, db } = await world(t)
  const [theft] = all.session_theft
  const refuse = (result: false | undefined) => (writer: Writer) => writer.transact(async () => result)
  t.equal(await record(by, theft, refuse(false)), false)
  t.equal(await record(by, theft, refuse(undefined)), undefined)
  const refuseAtOnce = (result: false | undefined) => (writer: Writer) =>
    writer.transactAtOnce(function* () {
      return result
    })
  t.equal(await record(by, theft, refuseAtOnce(false)), false)
  t.equal(await record(by, theft, refuseAtOnce(undefined)), undefined)
  const broken = (writer: Writer) =>
    writer.transact(async () => {
      throw new Error('broken')
    })
  await t.rejects(record(by, theft, broken), { message: 'broken' })
  await t.rejects(
    record(
      by,
      () => {
        throw new Error('no such event')
      },
      change,
    ),
    { message: 'no such event' },
  )
  t.strictSame(await entriesOf(db), [])
  t.strictSame(lines, [])
  t.strictSame(countsOf(counts), [])
})

t.test('an attempt that the database has undone is told nowhere', async t => {
  const { by, counts, lines, db } = await world(t)
  const [theft] = all.session_theft
  /** As on PostgreSQL, which undoes the first attempt for the sake of another transaction. */
  const twice: Database = {
    ...db,
    transact: async work => {
      const undone = db.transact(async transaction => {
        await work(transaction)
        throw new Error('undone')
      })
      await undone.catch(() => {})
      return db.transact(work)
    },
  }
  let attempts = 0
  const first = (writer: Writer) => writer.transact(async () => ++attempts === 1)
  t.equal(await record({ ...by, db: twice }, theft, first), false)
  t.equal(attempts, 2)
  t.strictSame(await entriesOf(db), [])
  t.strictSame(lines, [])
  t.strictSame(countsOf(counts), [])
})

t.test('the result says what has happened', async t => {
  const { by, counts, lines, read, db } = await world(t)
  const ended = (sessionId: Buffer) =>
    ({
      event: 'session_revoked',
      userId: null,
      clientId: 'web',
      sessionId,
      at,
      detail: { reason: 'command' },
      isOneOfMany: true,
    }) as const
  const work = (writer: Writer) => writer.transact(async () => [session, other])
  await record({ ...by, actor: { kind: 'command', user: 'root' } }, sids => sids.map(ended), work)
  t.match(
    await entriesOf(db),
    [session, other].map(session_id => ({ session_id, actor: 'command root', address: null })),
  )
  t.match(
    lines.map(line => JSON.parse(line)),
    [{ event: 'sessions_revoked', sids: [session, other].map(formatUuid), by: 'command' }],
    'one line for many sessions',
  )
  t.strictSame((await read(lines)).revocations, [
    { event: 'sessions_revoked', sids: [session, other], reason: 'command', at },
  ])
  t.strictSame(countsOf(counts), [], 'a server counts what commands have ended by the feed')
  await record({ ...by, log: silentLog }, all.user_disabled[0], change)
  t.equal(lines.length, 1, 'a silent log has no line of it')
})

const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes))
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
/** A reason is shown, so what cannot be shown is left out where it is read. */
const reason = text.filter(text => !/[\p{C}\p{Zl}\p{Zp}]/u.test(text))
/** Of what the log shows: nothing that looks like a token, which is cut out of every line. */
const clientId = fc
  .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 255 })
  .filter(id => !/mm_|eyJ/.test(id))
const epoch = fc.nat()
const told = { at: fc.nat({ max: 4_000_000_000 }), reason }

/** Members in an ordinary object, as they are read. */
const of = <T>(members: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(members, { noNullPrototype: true })

const revocations: fc.Arbitrary<LoggedRevocation> = fc.oneof(
  of({ event: fc.constant('session_revoked' as const), sid: uuid, ...told }),
  of({ event: fc.constant('sessions_revoked' as const), sids: fc.array(uuid), ...told }),
  of({ event: fc.constant('user_revoked' as const), sub: uuid, epoch, ...told }),
  of({ event: fc.constant('client_revoked' as const), clientId, epoch, ...told }),
  of({ event: fc.constant('key_revoked' as const), kid: text, ...told }),
  of({
    event: fc.constant('all_keys_revoked' as const),
    kids: fc.array(text),
    rootKeyFrom: text,
    rootKeyTo: text,
    ...told,
  }),
)

/** How lines are kept by those who collect logs. */
const keepers: readonly [name: string, keep: (line: string) => string][] = [
  ['plain', line => line],
  ['syslog', line => `Nov 23 04:36:34 host mintmark[12]: ${line}`],
  ['CRI', line => `2026-11-23T04:36:34.123Z stderr F ${line}`],
  ['Docker', line => JSON.stringify({ log: `${line}\n`, stream: 'stderr', time: '2026-11-23T04:36:34.1Z' })],
]

/** U+2028 ends a line for some readers, and JSON does not escape it. */
const separated: LoggedRevocation = { event: 'key_revoked', kid: 'a\u2028b', at: 1, reason: '' }

t.test('whatever is written is read back as the same, whoever has kept it', async t => {
  const { read } = await world(t)
  for (const [name, keep] of keepers) {
    const property = fc.asyncProperty(
      fc.array(revocations, { minLength: 1 }),
      fc.constantFrom('command', 'server', 'web'),
      fc.boolean(),
      async (written, by, isWarning) => {
        const { lines, log } = logInMemory()
        const more = { client_id_of_another: 'x', alg: 'ES256' }
        for (const revocation of written)
          writeLine(log, { revocation, by, more, ...(isWarning && { warning: 'a key was revoked' }) })
        const { revocations: found, unreadable } = await read(lines.map(keep))
        deepStrictEqual(found, written)
        equal(unreadable, 0)
      },
    )
    await fc.assert(property, { numRuns: runsOf(100), examples: [[[separated], 'command', false]] })
    t.pass(name)
  }
})
