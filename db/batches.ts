import type { Batcher } from './engines/batcher.ts'
import type { SessionTable, UserTable } from './schema.ts'

/** The group commits of the hot paths. Their verbs are `rotateSession` and `rememberUse`. */
export interface Batches {
  /**
   * Moves a session on by one generation; undefined, and nothing is changed, when any condition does not
   * hold.
   */
  readonly rotations: Batcher<Rotation, RotatedSession | undefined>
  /** Remembers the one use of a proof or an assertion; false when it is known already. */
  readonly uses: (use: Use) => Promise<boolean>
}

/** A refresh token presented, and what to make of its session if it is the current one. */
export interface Rotation {
  readonly sessionId: Buffer
  readonly secretHash: Buffer
  readonly clientId: string
  /** The generation presented. */
  readonly generation: number
  readonly now: number
  /** The idle limit from now on. The absolute one stays. */
  readonly idleExpiresAt: number
  /** The key that a public client has shown; null for none, and for a confidential client. */
  readonly keyThumbprint: Buffer | null
  /**
   * The resources that the client may have tokens for, each between two spaces. A session of another one does
   * not move.
   */
  readonly resources: string
  /** The length of the retry window, in seconds. */
  readonly retrySeconds: number
  /** Whether an equal token presented at the same moment gets the same answer. Not for a strict client. */
  readonly mayCoalesce: boolean
  /** Where the request came from. */
  readonly address: string
}

/** The columns of a session that the tokens of a refresh tell. */
export type RotatedSession = Pick<
  SessionTable,
  | 'scope'
  | 'resource'
  | 'authorization_details'
  | 'auth_time'
  | 'amr'
  | 'expires_at'
  | 'absolute_expires_at'
  | 'status_position'
  | 'claims'
> &
  Pick<UserTable, 'roles' | 'group_names'> & { readonly user_id: Buffer }

/** The one use of a proof or an assertion. */
export interface Use {
  /** A hash that is the same when it comes again. */
  readonly id: Buffer
  /** When it is refused for its age, in seconds since the epoch. */
  readonly expiresAt: number
}
