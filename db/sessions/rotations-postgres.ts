import type { RotatedSession, Rotation } from '../batches.ts'
import type { Postgres } from '../engines/postgres.ts'

const generationMax = 0xffff_ffff

const given = `select * from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bytea[], $9::text[], $10::text[])
  as given(id, secret_hash, client_id, generation, now, idle_expires_at, retry_seconds, key_thumbprint, address, resources)`

/**
 * Moves a session on. Its conditions decide every race, like those of the statement for SQLite
 * (rotations.ts).
 */
const rotate = `update sessions set
    generation = sessions.generation + 1,
    rotated_at = given.now,
    last_address = given.address,
    expires_at = least(given.idle_expires_at, absolute_expires_at),
    window_generation = case when abs(given.now - window_opened_at) >= given.retry_seconds
      then sessions.generation else window_generation end,
    window_opened_at = case when abs(given.now - window_opened_at) >= given.retry_seconds
      then given.now else window_opened_at end,
    late_history = (late_history << 1) & 255,
    bound_generation = case when sessions.key_thumbprint is null and given.key_thumbprint is not null
      then sessions.generation + 1 else bound_generation end,
    key_thumbprint = coalesce(sessions.key_thumbprint, given.key_thumbprint)`

const conditions = `sessions.id = given.id and sessions.generation = given.generation
    and sessions.secret_hash = given.secret_hash and sessions.client_id = given.client_id
    and (sessions.key_thumbprint is null or sessions.key_thumbprint = given.key_thumbprint)
    and (sessions.resource is null or strpos(given.resources, ' ' || sessions.resource || ' ') > 0)
    and revoked_at is null and expires_at > given.now and sessions.generation < ${generationMax}
    and user_epoch = (select epoch from users where users.id = sessions.user_id)
    and client_epoch = (select epoch from clients where clients.id = sessions.client_id)`

const returning = `user_id, scope, resource, authorization_details, auth_time, amr, expires_at,
    absolute_expires_at, status_position, sessions.claims,
    (select roles from users where users.id = sessions.user_id) as roles,
    (select group_names from users where users.id = sessions.user_id) as group_names`

/** Waits for the transaction that holds the row. */
export const rotateOne = `with given as (${given}) ${rotate} from given where ${conditions} returning ${returning}`

/**
 * Any number of sessions, in the order of their ids, so that no two instances wait for each other; and
 * without those that another transaction holds, so that no refresh waits for a stranger. A row for each that
 * was not skipped, with nulls if it was not moved on.
 */
export const rotateMany = `with given as (${given}),
  locked as materialized (
    select sessions.id from sessions where sessions.id = any($1::uuid[]) order by sessions.id
    for no key update skip locked
  ),
  moved as (
    ${rotate} from given join locked on locked.id = given.id where ${conditions} returning sessions.id, ${returning}
  )
  select locked.id as locked_id, moved.* from locked left join moved on moved.id = locked.id`

type Moved = RotatedSession & { readonly locked_id: Buffer; readonly id: Buffer | null }

/**
 * Commits rotations of different sessions in one statement; one that was skipped answers for itself, a little
 * later.
 */
export async function rotateOnPostgres(
  postgres: Postgres,
  rotations: readonly Rotation[],
): Promise<(RotatedSession | undefined | Promise<RotatedSession | undefined>)[]> {
  const rows = await postgres.query<Moved>(rotateMany, valuesOf(rotations))
  const rowBySession = new Map(rows.map(row => [row.locked_id.toString('latin1'), row]))
  return rotations.map(rotation => {
    const row = rowBySession.get(rotation.sessionId.toString('latin1'))
    if (row) return row.id === null ? undefined : row
    return rotateAlone(postgres, rotation)
  })
}

async function rotateAlone(postgres: Postgres, rotation: Rotation): Promise<RotatedSession | undefined> {
  const [row] = await postgres.query<RotatedSession>(rotateOne, valuesOf([rotation]))
  return row
}

function valuesOf(rotations: readonly Rotation[]): unknown[] {
  return [
    rotations.map(r => r.sessionId.toString('hex')),
    rotations.map(r => r.secretHash),
    rotations.map(r => r.clientId),
    rotations.map(r => r.generation),
    rotations.map(r => r.now),
    rotations.map(r => r.idleExpiresAt),
    rotations.map(r => r.retrySeconds),
    rotations.map(r => r.keyThumbprint),
    rotations.map(r => r.address),
    rotations.map(r => r.resources),
  ]
}
