import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { exportUsers } from '../admin/bulk/export.ts'
import { servedAdmin } from '../admin/served.ts'
import type { Context } from '../context.ts'
import { Refusal } from '../errors.ts'
import { openErrorReader } from '../http/error-reader.ts'
import { openLongAnswer } from '../http/long-answer.ts'
import { laterLogOf, logOf } from '../http/request-log.ts'
import { nameOf } from '../record/actor.ts'
import { sessionNow } from '../sessions/sent-token.ts'
import { adminPath } from './admin-path.ts'
import { callerLetIn, demand, letIn, staysIn, type AdminCaller } from './caller.ts'
import { describe } from './route.ts'

/** Support looks users up, and is not to take all of them away. */
const takeUsers = { noun: 'users', isChange: true, isFresh: false } as const

/** Hashes of administrators are among them. */
const takeHashes = { noun: 'all', isChange: true } as const

/** More at once would only share the time that there is. */
const exportsMax = 3

const Query = Type.Object(
  {
    with_hashes: Type.Optional(
      Type.Boolean({
        description:
          'also the password hashes, which takes the scope admin:write; those of our own need the same root key',
      }),
    ),
    after: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'the user name of the last line that came, where an export was cut off',
      }),
    ),
  },
  { additionalProperties: false },
)

const description = {
  method: 'GET',
  url: '/users/export',
  name: 'exportUsers',
  summary:
    'All users in the order of their names, as an import takes them: a JSON object in each line. What is cut ' +
    'off ends without the last chunk, and without the trailer `Mintmark-Users`, which says how many came',
  need: takeUsers,
  query: Query,
  answer: {
    status: 200,
    type: 'application/jsonl',
    schema: Type.String({ description: 'a JSON object in each line, with a line break after each' }),
  },
} as const

/** `/users/export`: all users, for another system or for a look from outside. */
export function addUserExport(app: FastifyInstance, ctx: Context): void {
  const readError = openErrorReader(ctx)
  let underWay = 0
  app.route({
    method: 'GET',
    exposeHeadRoute: false,
    url: adminPath + description.url,
    schema: describe(description),
    onRequest: letIn(ctx, takeUsers),
    handler: async (request, reply) => {
      const caller = callerLetIn(request)
      const { with_hashes: withHashes = false, after } = request.query as Static<typeof Query>
      if (withHashes) await demand(ctx, request, caller, takeHashes)
      if (underWay >= exportsMax)
        throw new Refusal('unavailable', `${exportsMax} exports are under way: come back when one has ended`)
      underWay++
      try {
        await send(ctx, caller, { request, reply, withHashes, after })
      } catch (error) {
        if (!reply.sent) throw error
        // Only the connection can tell it now.
        reply.raw.destroy()
        readError(error, request)
      } finally {
        underWay--
      }
      return reply
    },
  })
}

interface Export {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly withHashes: boolean
  readonly after: string | undefined
}

/** Answers, page by page: each is a work of its own, and read once the one before was taken. */
async function send(ctx: Context, caller: AdminCaller, { request, reply, ...choice }: Export): Promise<void> {
  const source = nameOf(caller.actor)
  const pages = exportUsers(servedAdmin(ctx, caller, laterLogOf(request)), choice)
  const { admission, rests } = ctx.load
  const read = () => admission.admit('other', () => rests(source, () => pages.next()), source)
  try {
    let users = 0
    let page = await read()
    const answer = openLongAnswer(reply, { 'content-type': description.answer.type, trailer: countField })
    while (!page.done) {
      answer.write(page.value.lines)
      users += page.value.users
      const why = await taken(ctx, answer, () => reasonToEnd(ctx, request, caller))
      if (why !== undefined) {
        answer.destroy()
        logOf(request).info({ users, reason: why }, 'an export of users was cut off')
        return
      }
      page = await read()
    }
    answer.addTrailers({ [countField]: String(users) })
    answer.end()
  } finally {
    // The trail has its end, whatever it was.
    await pages.return(undefined)
  }
}

const countField = 'mintmark-users'

/** How often a reader that takes its time is looked at, in seconds. */
const lookSeconds = 1

/** Resolves once the reader has taken all that was sent, or with the reason why it gets nothing more. */
async function taken(
  { clock }: Pick<Context, 'clock'>,
  answer: ServerResponse,
  reasonToEnd: () => Promise<string | undefined>,
): Promise<string | undefined> {
  for (;;) {
    if (answer.destroyed) return 'its reader is gone'
    const why = await reasonToEnd()
    if (why !== undefined || !answer.writableNeedDrain) return why
    const waiting = new AbortController()
    const { signal } = waiting
    const moves = ['drain', 'close'].map(event => once(answer, event, { signal }).catch(() => {}))
    await Promise.race([...moves, clock.pause(lookSeconds, signal)])
    waiting.abort()
  }
}

async function reasonToEnd(
  ctx: Context,
  request: FastifyRequest,
  caller: AdminCaller,
): Promise<string | undefined> {
  if (ctx.load.drain.isDraining()) return 'this server is about to end'
  if (Number(caller.sent.claims['exp']) <= ctx.clock.now()) return 'the access token has expired'
  const session = await sessionNow(ctx, caller.sent)
  if (session && (await staysIn(ctx, request, caller, { session, need: takeUsers }))) return undefined
  return 'its reader may not have it any more'
}
