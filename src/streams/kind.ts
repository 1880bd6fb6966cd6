import type { Database } from '../../db/database.ts'
import { addDeliveries } from '../../db/push/deliveries.ts'
import { statusLane } from '../../db/push/stream-lanes.ts'
import { findStreamOfClient, noteStreamPaused, type StreamOfClient } from '../../db/push/streams.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { parseUuid } from '../protocol/secrets.ts'
import { securityEventTyp } from '../protocol/security-events.ts'
import type { DeliveryKind, Receiver } from '../push/outgoing/kind.ts'
import { openAuthorization } from './authorization.ts'
import { outcomeOf } from './outcome.ts'
import { signDelivery, type Signing } from './set.ts'
import { spreadEvents } from './spread.ts'
import { statusNews } from './streams.ts'

export interface StreamDeliveryOptions extends Signing {
  readonly db: Database
  readonly rootKeys: Pick<RootKeys, 'open'>
}

/** Security events (RFC 8417), pushed to the receivers of streams (RFC 8935). */
export function streamDeliveries(options: StreamDeliveryOptions): DeliveryKind {
  const { db, clock, issuer } = options
  return {
    kind: 'stream',
    spread: { events: (sql, rows) => spreadEvents({ issuer, now: clock.now() }, sql, rows) },
    findReceiver: async receiver => {
      const id = streamOf(receiver)
      const found = id && (await findStreamOfClient(db, id))
      return found && receiverOf(options, found)
    },
    onPaused: async (sql, receiver, now) => {
      const id = streamOf(receiver)
      if (!id || receiver.endsWith(statusLane)) return
      const stream = await noteStreamPaused(sql, id, unreachable)
      if (stream) await addDeliveries(sql, [statusNews(stream, now)])
    },
  }
}

/** What the status of a stream says then. */
const unreachable = 'nothing could be delivered for three days'

function streamOf(receiver: string): Buffer | undefined {
  return parseUuid(receiver.replace(statusLane, ''))
}

function receiverOf(options: StreamDeliveryOptions, found: StreamOfClient): Receiver | undefined {
  const { stream } = found
  if (stream.endpoint_url === null) return undefined
  return {
    url: new URL(stream.endpoint_url),
    clientId: stream.client_id,
    postOf: async delivery => {
      const authorization = openAuthorization(options.rootKeys, stream)
      const signed = await signDelivery(options, found, delivery)
      return (
        signed && {
          headers: {
            'content-type': `application/${securityEventTyp}`,
            ...(authorization !== null && { authorization }),
          },
          body: signed.jwt,
        }
      )
    },
    outcomeOf,
  }
}
