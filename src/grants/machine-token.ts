import { spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { detailsColumn, readAskedDetails } from '../protocol/authorization-details.ts'
import { claimsOfMachine } from '../sessions/claims.ts'
import type { Granted } from '../sessions/granted.ts'
import { machineSession, never } from '../sessions/machine-session.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { TokenRequest } from './grant.ts'

/**
 * A token for the client itself, without a refresh token. It belongs to the client's machine session. `spend`
 * uses up what has proved the client, once nothing else is wrong with the request.
 */
export async function machineToken(
  ctx: Context,
  { client, form, caller, confirmation }: TokenRequest,
  spend: () => Promise<void> = async () => {},
): Promise<Granted> {
  const resources = await resourcesOf(ctx, client)
  const { details, form: meant, refusal } = readAskedDetails(form, { client, resources })
  if (refusal) throw new OAuthError(refusal.error, refusal.description)
  const authorization = {
    scope: meant.get('scope') === '' ? '' : client.scope,
    resource: details.length > 0 ? (meant.get('resource') ?? null) : null,
    authorization_details: detailsColumn(details),
  }
  const target = targetOf(ctx, { client, resources }, form, authorization)
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  await spend()
  const claims = await claimsOfMachine(ctx, target)
  const session = await machineSession(ctx, client, caller)
  return {
    target,
    subject: client.id,
    sessionId: session.id,
    authTime: session.auth_time,
    amr: '',
    claims,
    statusPosition: session.status_position,
    expiresAt: never,
  }
}
