import type { FastifyInstance, FastifyRequest } from 'fastify'
import { deviceCaller } from '../clients/caller.ts'
import { describeRegistration, type SaidMetadata } from '../clients/registering.ts'
import { bearerOf, findRegistered, register, reregister } from '../clients/registrations.ts'
import { openReachOf } from '../clients/open-reach.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { endSessionsOfClient } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { registerPath } from '../http/other-methods.ts'
import { byClient } from '../record/record.ts'
import { isObject, parseJson } from '../values/json.ts'
import { networkOf } from '../values/addresses.ts'

/**
 * POST /register (RFC 7591): a client registers itself, with a token that an administrator has made. GET, PUT
 * and DELETE (RFC 7592) are for the client itself, which the query names. Where it is switched off there is
 * nothing.
 */
export function registerEndpoint(app: FastifyInstance, ctx: Context): void {
  const { issuer, clientRegistration } = ctx.config
  if (clientRegistration === 'off') return
  const uriOf = (id: string) => `${issuer}${registerPath}?client_id=${id}`
  const admit = <T>(request: FastifyRequest, work: () => Promise<T>) =>
    ctx.load.admission.admit('other', work, networkOf(request.ip))
  const own = (request: FastifyRequest) =>
    findRegistered(ctx, request.headers.authorization, Object(request.query)['client_id'])

  // The token is in each answer (RFC 7592 §3): the one that came, for only its hash is stored.
  const informationOf = (request: FastifyRequest, client: Client) => ({
    ...describeRegistration(client, client),
    registration_access_token: bearerOf(request.headers.authorization),
    registration_client_uri: uriOf(client.id),
  })

  app.post(registerPath, (request, reply) =>
    admit(request, async () => {
      const said = () => readBody(request)
      const made = await register(ctx, request.headers.authorization, said, deviceCaller(request))
      const reach = openReachOf(await ctx.clients.registry.listResources())
      return reply.code(201).send({
        ...describeRegistration(made.row, reach),
        ...(made.secret !== undefined && { client_secret: made.secret, client_secret_expires_at: 0 }),
        registration_access_token: made.registrationToken,
        registration_client_uri: uriOf(made.row.id),
      })
    }),
  )
  app.get(registerPath, { exposeHeadRoute: false }, request =>
    admit(request, async () => {
      return informationOf(request, await own(request))
    }),
  )
  app.put(registerPath, request =>
    admit(request, async () => {
      const client = await reregister(ctx, await own(request), readBody(request), deviceCaller(request))
      return informationOf(request, client)
    }),
  )
  app.delete(registerPath, (request, reply) =>
    admit(request, async () => {
      const { id } = await own(request)
      const by = byClient(ctx, id, deviceCaller(request))
      await endSessionsOfClient(by, id, 'client deleted', { stepsMax: 5 })
      return reply.code(204).send()
    }),
  )
}

function readBody({ body }: FastifyRequest): SaidMetadata {
  try {
    const said: unknown = typeof body === 'string' ? parseJson(body) : undefined
    if (isObject(said)) return said
  } catch {
    // It is told below.
  }
  throw new OAuthError('invalid_client_metadata', 'the body must be a JSON object, as application/json')
}
