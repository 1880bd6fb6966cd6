import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { adminScopes } from '../admin/administrators.ts'
import { askForDevice } from '../authorization/devices.ts'
import { callerOf } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { checkProfile, spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { deviceSeconds, pollSeconds } from '../protocol/device-code.ts'
import { formOf } from '../protocol/form.ts'
import { formatUserCode } from '../protocol/user-code.ts'
import { networkOf } from '../values/addresses.ts'
import { checkOrigin } from './origins.ts'
import { proofReader } from './proofs.ts'

/**
 * POST /device_authorization (RFC 8628 §3.1): a device without a browser asks for a code that its user types
 * into one elsewhere. The client authenticates as at /token. A DPoP proof binds the device code to its key,
 * as at /par.
 */
export function deviceAuthorizationEndpoint(app: FastifyInstance, ctx: Context): void {
  const path = '/device_authorization'
  const proofs = proofReader(ctx, path)
  const page = `${ctx.config.issuer}/device`
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const form = formOf(request.body)
    const proof = proofs.read(request, reply)
    const client = await authenticateClient(ctx, request, form)
    checkOrigin(ctx, client, request, reply)
    if (proof) checkProfile(client, proof)
    // As at /par: of a public client anybody can send one.
    if (proof && client.auth_method !== 'none') await spendProof(ctx, proof)

    const { deviceCode, userCode } = await askForDevice(ctx, {
      client,
      caller: callerOf(request, client),
      form,
      proofThumbprint: proof?.thumbprint,
      withheldScopes: adminScopes,
    })
    const shown = formatUserCode(userCode)
    return {
      device_code: deviceCode,
      user_code: shown,
      verification_uri: page,
      verification_uri_complete: `${page}?user_code=${shown}`,
      expires_in: deviceSeconds,
      interval: pollSeconds,
    }
  }
  app.post(path, (request, reply) =>
    ctx.load.admission.admit('other', () => answer(request, reply), networkOf(request.ip)),
  )
}
