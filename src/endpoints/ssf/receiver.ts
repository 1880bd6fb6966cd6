import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import { callerOf } from '../../clients/caller.ts'
import { proofUrls } from '../../clients/confirmation.ts'
import { isAdmin, type Client } from '../../clients/registry.ts'
import type { Context } from '../../context.ts'
import { OAuthError } from '../../errors.ts'
import { logOf } from '../../http/request-log.ts'
import { ssfScopesFor, type SsfScope } from '../../protocol/ssf-scopes.ts'
import { byClient } from '../../record/record.ts'
import { authenticateMachine } from '../../sessions/sent-token.ts'
import { findOwnStream, type OwnStream } from '../../streams/own-streams.ts'
import type { StreamRecorder } from '../../streams/streams.ts'
import { itemsOf } from '../../values/list.ts'

/** A receiver that was let in. */
export interface ReceiverCall {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly client: Client
  readonly by: StreamRecorder
  /** The stream of this id; throws 404 where the client has none. */
  ownStream(id: Buffer | undefined): Promise<OwnStream>
}

/** What is done at an address, once it is known who asks. */
export type ReceiverAct = (call: ReceiverCall) => Promise<unknown>

/** Adds an address of the API for receivers (SSF 1.0 §8). Not for browsers, so without CORS. */
export function addReceiverRoute(
  app: FastifyInstance,
  ctx: Context,
  { method, url, scope }: { readonly method: HTTPMethods; readonly url: string; readonly scope: SsfScope },
  act: ReceiverAct,
): void {
  const { admission } = ctx.load
  app.route({
    method,
    url,
    config: { cors: false },
    exposeHeadRoute: false,
    handler: (request, reply) =>
      admission.admit('other', async () => act(await receiverOf(ctx, { request, reply }, scope))),
  })
}

/** Lets a receiver in: the client of a resource server, with a token for this server and this scope. */
export async function receiverOf(
  ctx: Context,
  { request, reply }: Pick<ReceiverCall, 'request' | 'reply'>,
  scope: SsfScope,
): Promise<ReceiverCall> {
  const [path = ''] = request.url.split('?')
  const {
    client,
    scope: granted,
    scheme,
  } = await authenticateMachine(ctx, request, () => proofUrls(ctx.config, path))
  if (!ssfScopesFor(scope).some(one => itemsOf(granted).includes(one))) {
    throw new OAuthError('insufficient_scope', `the access token does not have the scope ${scope}`, {
      sent: { scheme, scope },
    })
  }
  if (client.introspects === '' && !isAdmin(client)) {
    throw new OAuthError(
      'insufficient_scope',
      'streams are for the client of a resource server: `mintmark client update ID --resource-server URI` makes it one',
      { sent: { scheme } },
    )
  }
  const by = byClient(ctx, client.id, callerOf(request, client), logOf(request))
  return {
    request,
    reply,
    client,
    by: { ...by, rootKeys: ctx.rootKeys },
    ownStream: async id => {
      const stream = id && (await findOwnStream(ctx, client, id))
      if (!stream) throw noStream()
      return stream
    },
  }
}

export const noStream = () =>
  new OAuthError('invalid_request', 'this client has no such stream', { status: 404 })
