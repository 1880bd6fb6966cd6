import { sql as fragment, type Kysely } from 'kysely'
import type { Batches, RotatedSession, Rotation } from '../batches.ts'
import type { Database } from '../database.ts'
import { batcher } from '../engines/batcher.ts'
import type { Stopwatch } from '../engines/latency.ts'
import { isAboutData } from '../engines/postgres-errors.ts'
import type { Postgres } from '../engines/postgres.ts'
import { isBusy, type Sqlite } from '../engines/sqlite.ts'
import type { Tables } from '../schema.ts'
import { rotateOnPostgres } from './rotations-postgres.ts'

/**
 * Moves the session on by one generation; undefined, and nothing is changed, when any condition does not
 * hold.
 */
export function rotateSession(
  { batches }: Database,
  rotation: Rotation,
): Promise<RotatedSession | undefined> {
  return batches.rotations(rotation)
}

type Rotations = Batches['rotations']

const generationMax = 0xffff_ffff

/**
 * The one statement of an ordinary refresh. Its conditions decide every race: of two requests with one token,
 * of a refresh and a revocation, of a refresh and a password change, the database lets exactly one change the
 * row.
 */
function rotateStatement(sql: Kysely<Tables>): string {
  // The window opens with a rotation when none is open, and does not slide. One from far in the future is not
  // open.
  const opensWindow = fragment<boolean>`abs(:now - window_opened_at) >= :retrySeconds`
  const isBoundNow = fragment<boolean>`(key_thumbprint is null and :keyThumbprint is not null)`
  return sql
    .updateTable('sessions')
    .set({
      generation: fragment`generation + 1`,
      rotated_at: fragment`:now`,
      last_address: fragment`:address`,
      expires_at: fragment`case when :idleExpiresAt < absolute_expires_at then :idleExpiresAt else absolute_expires_at end`,
      window_generation: fragment`case when ${opensWindow} then generation else window_generation end`,
      window_opened_at: fragment`case when ${opensWindow} then :now else window_opened_at end`,
      late_history: fragment`(late_history << 1) & 255`,
      // RFC 9449 §5: a public client's proof binds its new tokens to its key, also in a session without one.
      bound_generation: fragment`case when ${isBoundNow} then generation + 1 else bound_generation end`,
      key_thumbprint: fragment`coalesce(key_thumbprint, :keyThumbprint)`,
    })
    .where(
      fragment<boolean>`id = :id and generation = :generation and secret_hash = :secretHash and client_id = :clientId`,
    )
    .where(fragment<boolean>`(key_thumbprint is null or key_thumbprint = :keyThumbprint)`)
    .where(fragment<boolean>`(resource is null or instr(:resources, ' ' || resource || ' ') > 0)`)
    .where(
      fragment<boolean>`revoked_at is null and expires_at > :now and generation < ${fragment.lit(generationMax)}`,
    )
    .where(fragment<boolean>`user_epoch = (select epoch from users where users.id = sessions.user_id)`)
    .where(
      fragment<boolean>`client_epoch = (select epoch from clients where clients.id = sessions.client_id)`,
    )
    .returning(['user_id', 'scope', 'resource', 'authorization_details', 'auth_time', 'amr'])
    .returning(['expires_at', 'absolute_expires_at', 'status_position', 'claims'])
    .returning(fragment<string>`(select roles from users where users.id = sessions.user_id)`.as('roles'))
    .returning(
      fragment<string>`(select group_names from users where users.id = sessions.user_id)`.as('group_names'),
    )
    .compile().sql
}

/**
 * Rotations that arrive together are committed together: on disk a commit costs ten times what a row does.
 */
const grouping = {
  keyOf: (rotation: Rotation) => rotation.sessionId.toString('latin1'),
  isSame: (a: Rotation, b: Rotation) =>
    a.mayCoalesce &&
    b.mayCoalesce &&
    a.generation === b.generation &&
    a.clientId === b.clientId &&
    isSameKey(a.keyThumbprint, b.keyThumbprint) &&
    a.secretHash.equals(b.secretHash),
  patienceMs: 5000,
  gatherMs: 2,
}

/** How many are committed together at the most. */
const rotationsMax = 128

export function sqliteRotations(sql: Kysely<Tables>, sqlite: Sqlite, commits: Stopwatch): Rotations {
  const statement = rotateStatement(sql)
  return batcher<Rotation, RotatedSession | undefined>({
    ...grouping,
    limit: rotationsMax,
    commit: take =>
      commits.time(() =>
        sqlite.transact(prepare => {
          const rotate = prepare(statement)
          return take().map(
            r =>
              rotate.get({
                id: r.sessionId,
                secretHash: r.secretHash,
                clientId: r.clientId,
                generation: r.generation,
                keyThumbprint: r.keyThumbprint,
                resources: r.resources,
                now: r.now,
                idleExpiresAt: r.idleExpiresAt,
                retrySeconds: r.retrySeconds,
                address: r.address,
              }) as RotatedSession | undefined,
          )
        }),
      ),
    mayBeOneEntry: error => !isBusy(error),
  })
}

/** As `sqliteRotations`. */
export function postgresRotations(postgres: Postgres, commits: Stopwatch): Rotations {
  return batcher<Rotation, RotatedSession | undefined>({
    ...grouping,
    limit: rotationsMax,
    commit: take => commits.time(() => rotateOnPostgres(postgres, take())),
    mayBeOneEntry: isAboutData,
  })
}

function isSameKey(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}
