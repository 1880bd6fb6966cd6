import type { Kysely, Transaction } from 'kysely'
import type { Tables } from '../schema.ts'
import { someAtOnce } from '../some-at-once.ts'

/** A session whose client is to be told that it has ended. */
export interface LoggedOutSession {
  readonly id: Buffer
  readonly user_id: Buffer
  readonly client_id: string
}

function toldSessions(sql: Kysely<Tables>) {
  return sql
    .selectFrom('sessions')
    .innerJoin('clients', 'clients.id', 'sessions.client_id')
    .select(['sessions.id', 'sessions.user_id', 'sessions.client_id', 'sessions.scope'])
    .where('sessions.user_id', 'is not', null)
    .where('clients.back_channel_logout_uri', 'is not', null)
    .$narrowType<{ user_id: Buffer }>()
}

/** Those of the sessions, with their scope, that have ended for another reason than these. */
export async function listLoggedOut(
  sql: Transaction<Tables>,
  ids: readonly Buffer[],
  reasonsNotTold: readonly string[],
): Promise<readonly (LoggedOutSession & { readonly scope: string })[]> {
  const found = []
  for (const some of someAtOnce(ids)) {
    const rows = toldSessions(sql)
      .where('sessions.id', 'in', some)
      .where('sessions.revoke_reason', 'not in', reasonsNotTold)
    found.push(...(await rows.execute()))
  }
  return found
}

/**
 * The sessions that outlive a sign-in which has ended, and have not ended themselves. They are told of once.
 */
export async function takeOfflineSessions(
  sql: Transaction<Tables>,
  signInId: Buffer,
): Promise<readonly (LoggedOutSession & { readonly scope: string })[]> {
  const found = await toldSessions(sql)
    .innerJoin('offline_sessions', 'offline_sessions.session_id', 'sessions.id')
    .where('offline_sessions.sign_in_id', '=', signInId)
    .where('sessions.revoked_at', 'is', null)
    .execute()
  await sql.deleteFrom('offline_sessions').where('sign_in_id', '=', signInId).execute()
  return found
}
