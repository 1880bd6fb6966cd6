import { join } from 'node:path'
import type { Test } from 'tap'
import type { Rotation } from '../../db/batches.ts'
import { insertClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { insertInstallation } from '../../db/installation/installation.ts'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase, type DatabaseLocation } from '../../db/open-database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { insertSession } from '../../db/sessions/starts.ts'
import { insertUser } from '../../db/users/users.ts'
import type { NewAuditEntry } from '../../db/writer.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import type { EventName } from '../../src/record/events.ts'
import type { EngineEnv } from './engines.ts'
import { makeMigrated } from './migrated.ts'
import { scratchFolder } from './scratch.ts'

/** When the records below were made. */
export const madeAt = 1_900_000_000

export const secretHash = hashSecret('the session secret of every session here')

/** Opens the database that `forEachEngine` names, with the records of `seed`. */
export async function openSeeded(
  t: Test,
  env: EngineEnv,
): Promise<{ readonly db: Database; readonly userId: Buffer }> {
  const url = env['MINTMARK_DATABASE_URL']
  const location: DatabaseLocation =
    url === undefined
      ? { engine: 'sqlite', file: join(scratchFolder(t), 'mintmark.sqlite') }
      : { engine: 'postgres', url }
  await makeMigrated(location)
  const db = openDatabase(location)
  t.teardown(() => db.close())
  return { db, userId: await seed(db) }
}

/** Migrates an empty database and adds the client `web` and the user `ada`, whose id is the answer. */
export async function seed(db: Database): Promise<Buffer> {
  await migrate(db, madeAt)
  await insertInstallation(db, {
    issuer: 'https://as.example',
    created_at: madeAt,
    root_key_id: 'none',
    key_rotation_seconds: 2_592_000,
    jwks_max_age_seconds: 300,
    clock_skew_seconds: 60,
  })
  await insertClient(
    db,
    plainClientRow({
      id: 'web',
      secret_hash: null,
      grant_types: 'password refresh_token',
      scope: 'read',
      created_at: madeAt,
    }),
  )
  const id = newUuid(madeAt)
  await insertUser(db, {
    id,
    username: 'ada',
    password_hash: 'none',
    root_key_id: 'none',
    roles: 'editor',
    epoch: 0,
    created_at: madeAt,
    disabled_at: null,
  })
  return id
}

/** Begins a session of the user and returns its id. */
export async function beginSession(db: Database, userId: Buffer, statusPosition = 0): Promise<Buffer> {
  const id = newUuid(madeAt)
  const { epoch } = await db.sql
    .selectFrom('clients')
    .select('epoch')
    .where('id', '=', 'web')
    .executeTakeFirstOrThrow()
  const isInserted = await insertSession(db, {
    id,
    user_id: userId,
    client_id: 'web',
    user_epoch: 0,
    client_epoch: epoch,
    secret_hash: secretHash,
    scope: 'read',
    resource: null,
    auth_time: madeAt,
    amr: 'pwd',
    expires_at: madeAt + 1000,
    absolute_expires_at: madeAt + 5000,
    status_position: statusPosition,
    last_address: null,
  })
  if (!isInserted) throw new Error('the session was not inserted')
  return id
}

/** What rotates a session of generation 0. */
export function rotationOf(sessionId: Buffer, changes: Partial<Rotation> = {}): Rotation {
  return {
    sessionId,
    secretHash,
    clientId: 'web',
    generation: 0,
    now: madeAt + 10,
    idleExpiresAt: madeAt + 1010,
    keyThumbprint: null,
    resources: '',
    retrySeconds: 10,
    mayCoalesce: true,
    address: '192.0.2.1',
    ...changes,
  }
}

let lastPosition = 1000

/** Adds copies of one session, each with an id and a place in the status lists of its own. */
export async function addSessions(
  db: Database,
  model: Buffer,
  count: number,
  changes: Partial<SessionTable> = {},
): Promise<void> {
  const row = await db.sql
    .selectFrom('sessions')
    .selectAll()
    .where('id', '=', model)
    .executeTakeFirstOrThrow()
  for (let left = count; left > 0; left -= 500) {
    const rows = Array.from({ length: Math.min(left, 500) }, () => ({
      ...row,
      id: newUuid(changes.started_at ?? changes.auth_time ?? madeAt),
      status_position: ++lastPosition,
      ...changes,
    }))
    await db.sql.insertInto('sessions').values(rows).execute()
  }
}

interface AuditFacts {
  /** Seconds since the epoch. */
  readonly at: number
  readonly event: EventName
  /** `client ID`, `command USER`, `server`, or `nobody` for who has not authenticated. */
  readonly actor: string
  readonly userId?: Buffer | null | undefined
  readonly clientId?: string | undefined
  readonly sessionId?: Buffer | undefined
  readonly address?: string | undefined
  readonly requestId?: string | undefined
  /** What else there is to know. Nothing secret, and nothing that a stranger has typed. */
  readonly detail?: Readonly<Record<string, unknown>>
}

/** A row of the audit trail, of which only this is said. */
export function auditRow(facts: AuditFacts): NewAuditEntry {
  const { at, event, actor, userId, clientId, sessionId, address, requestId, detail } = facts
  return {
    at,
    event,
    actor,
    user_id: userId ?? null,
    client_id: clientId ?? null,
    session_id: sessionId ?? null,
    address: address ?? null,
    request_id: requestId ?? null,
    count: 1,
    detail: detail === undefined ? null : JSON.stringify(detail),
  }
}
