import { findMachineSession, insertSession } from '../../db/sessions/sessions.ts'
import { audited } from '../../db/writer.ts'
import type { Caller } from '../clients/caller.ts'
import { spendProof } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { newUuid } from '../protocol/secrets.ts'
import { requestEntry } from '../record/audit-trail.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { Grant } from './grant.ts'

/** RFC 6749 §4.4: a token for the client itself, without a refresh token. It belongs to the client's machine session. */
export const clientCredentials: Grant = async (ctx, client, form, caller, confirmation) => {
  if (client.auth_method === 'none') {
    throw new OAuthError(
      'unauthorized_client',
      'only a confidential client may use the client_credentials grant',
    )
  }
  const known = { client, resources: await resourcesOf(ctx, client) }
  const target = targetOf(ctx, known, form, { scope: client.scope, resource: null })
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  const session = await machineSession(ctx, client, caller)
  return {
    target,
    subject: client.id,
    sessionId: session.id,
    authTime: session.auth_time,
    amr: '',
    roles: '',
    statusPosition: session.status_position,
    expiresAt: never,
  }
}

/** A machine session has no end of its own: it lives until it is revoked. */
const never = 253_402_300_799 // the end of the year 9999

/** Finds the client's machine session, or starts one on the first request and after a revocation. */
async function machineSession(ctx: Context, client: Client, caller: Caller) {
  for (let attempt = 0; attempt < 3; attempt++) {
    const session = await findMachineSession(ctx.db, client.id, client.epoch)
    if (session) return session
    const now = ctx.now()
    // Of several instances that start one at once, the unique index lets one win.
    const id = newUuid(now)
    const entry = requestEntry(client, caller, { at: now, event: 'machine_session_started', sessionId: id })
    await insertSession(audited(ctx.db, entry), {
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
      status_position: await ctx.nextStatusPosition(never),
      last_address: caller.address,
    })
  }
  throw unavailable("the client's epoch was raised while its machine session was started")
}
