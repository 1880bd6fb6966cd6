import { findMachineSession } from '../../db/sessions/sessions.ts'
import { insertSession } from '../../db/sessions/starts.ts'
import { sharedRead } from '../../db/shared-read.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { newUuid } from '../protocol/secrets.ts'
import { byClient, record } from '../record/record.ts'

/** A machine session has no end of its own: it lives until it is revoked. */
export const never = 253_402_300_799 // the end of the year 9999

const findShared = sharedRead(findMachineSession)

/**
 * The session that a client's own tokens belong to, one for each client; starts it on the first request, and
 * again after a revocation. Throws `temporarily_unavailable` (503) when the client's epoch is raised during
 * it.
 */
export async function machineSession(ctx: Context, client: Client, caller: Caller) {
  for (let attempt = 0; attempt < 3; attempt++) {
    const session = await findShared(ctx.db, client.id, client.epoch)
    if (session) return session
    const now = ctx.clock.now()
    // Of several instances that start one at once, the unique index lets one win.
    const id = newUuid(now)
    const statusPosition = await ctx.sessions.nextStatusPosition(never)
    const event = { event: 'machine_session_started', clientId: client.id, sessionId: id } as const
    const started = {
      id,
      user_id: null,
      client_id: client.id,
      user_epoch: 0,
      client_epoch: client.epoch,
      secret_hash: null,
      scope: client.scope,
      resource: null,
      auth_time: now,
      amr: '',
      expires_at: never,
      absolute_expires_at: never,
      status_position: statusPosition,
      last_address: caller.address,
    }
    await record(byClient(ctx, client.id, caller), event, db => insertSession(db, started))
  }
  throw unavailable("the client's epoch was raised while its machine session was started")
}
