import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Admin } from '../admin/admin.ts'
import { Refusal } from '../errors.ts'
import { endureLongRequest } from '../http/long-requests.ts'

/** A file that is sent in the place of JSON. */
export interface Upload {
  /** The media types that it may have. */
  readonly types: readonly string[]
  /** What it is, for who sends something else. */
  readonly description: string
  /** Keeps the file, before the act: which gets what this returns as its body. */
  readonly receive: (admin: Admin, sent: Sent) => Promise<Received>
}

/** A file that arrives. */
export interface Sent {
  /** Its media type, without parameters. */
  readonly type: string
  /** Its size in bytes, as far as its sender has told it. */
  readonly length: number | undefined
  readonly body: AsyncIterable<Buffer>
}

/** A file that has arrived. */
export interface Received {
  /** Tells it from others, where a request is done once. */
  readonly digest: string
  /** Forgets it, where the act was not done. */
  readonly drop: () => Promise<void>
}

/** Leaves bodies alone, which the routes that are added in `app` read as they arrive. */
export function takeUploads(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
}

/**
 * Does the act with the file that is sent, which is kept before. That takes as long as it takes, and so is
 * none of what is under way.
 */
export async function withUpload<Answer>(
  { types, description, receive }: Upload,
  { raw, headers }: FastifyRequest,
  admin: Admin,
  act: (received: Received) => Promise<{ readonly answer: Answer; readonly isDone: boolean }>,
): Promise<Answer> {
  const [type = ''] = (headers['content-type'] ?? '').toLowerCase().split(/[\s;]/)
  if (!types.includes(type))
    throw new Refusal('unsupported_media_type', `the body is ${description}: ${types.join(', ')}`)
  endureLongRequest(raw)
  const length = headers['content-length']
  // Not destroyed where it is refused before its end: its sender is to have the answer.
  const body: AsyncIterable<Buffer> = raw.iterator({ destroyOnReturn: false })
  const received = await receive(admin, {
    type,
    length: length === undefined ? undefined : Number(length),
    body,
  }).catch((error: unknown) => {
    raw.resume()
    throw error
  })
  let isDone = false
  try {
    const done = await act(received)
    isDone = done.isDone
    return done.answer
  } finally {
    if (!isDone) await received.drop()
  }
}
