import type { Delivery, NewDelivery } from '../../../db/push/deliveries.ts'
import type { DeliveryTransaction, Feeds, FeedName } from '../../../db/push/delivery-cursors.ts'
import type { DeliveryKindName } from '../../../db/schema.ts'
import type { Answer, Post } from './post.ts'

/** One kind of deliveries: what becomes of the feeds, who gets it, and as what. */
export interface DeliveryKind {
  readonly kind: DeliveryKindName
  /**
   * Which deliveries become of the rows of a feed. Part of the transaction that takes them, so it waits for
   * nothing but statements.
   */
  readonly spread: {
    readonly [Name in FeedName]?: (
      sql: DeliveryTransaction,
      rows: readonly Feeds[Name][],
    ) => Promise<readonly NewDelivery[]>
  }
  /** The receiver of that id, as it is now; undefined where there is none any more. */
  findReceiver(id: string): Promise<Receiver | undefined>
  /**
   * A receiver that has failed for three days is paused: part of the transaction that does so. Without it,
   * it is tried for as long as something waits.
   */
  readonly onPaused?: (sql: DeliveryTransaction, id: string, now: number) => Promise<void>
}

export interface Receiver {
  readonly url: URL
  /** The client that it belongs to, for the audit trail. */
  readonly clientId: string
  /**
   * Undefined where the receiver may not be told of it any more. Rejects where it cannot be made now: then it
   * is tried again, and the receiver is not to blame.
   */
  postOf(delivery: Delivery): Promise<Post | undefined>
  outcomeOf(answer: Answer): Outcome
}

/**
 * `dropped`: it was not sent, and never is. `refused`: the receiver never takes this one, so it is not sent
 * again. `failed`: it is sent again, later.
 * The reason is a few words of ours, or of the receiver's answer.
 */
export type Outcome =
  | { readonly kind: 'delivered' | 'dropped' }
  | { readonly kind: 'refused' | 'failed'; readonly reason: string }
