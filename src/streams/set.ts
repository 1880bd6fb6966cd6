import type { Delivery } from '../../db/push/deliveries.ts'
import type { StreamOfClient } from '../../db/push/streams.ts'
import type { Clock } from '../clock.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { securityEventAlg, securityEventClaims, securityEventTyp } from '../protocol/security-events.ts'
import { audienceOf } from '../push/messages.ts'
import { readContent } from './content.ts'

export interface Signing {
  readonly keys: Pick<KeyRing, 'sign'>
  readonly clock: Pick<Clock, 'now'>
  readonly issuer: string
}

/** A security event token (RFC 8417), and its `jti`, which is the same each time that it is signed. */
export interface SignedEvent {
  readonly jti: string
  readonly jwt: string
}

/**
 * Signs what waits for a stream, as of now; undefined where its client may not be told of it any more.
 * Rejects with 503 where no key may sign.
 */
export async function signDelivery(
  { keys, clock, issuer }: Signing,
  { stream, client }: StreamOfClient,
  { token_id, content }: Pick<Delivery, 'token_id' | 'content'>,
): Promise<SignedEvent | undefined> {
  const { audiences, txn: transaction, at, ...event } = readContent(content)
  if (audiences !== undefined && !audienceOf(client).isAmong(audiences)) return undefined
  const jti = formatUuid(token_id)
  const { audience } = stream
  const issue = { issuer, audience, now: clock.now(), id: jti, transaction, at }
  return { jti, jwt: await keys.sign(securityEventTyp, securityEventAlg, securityEventClaims(event, issue)) }
}
