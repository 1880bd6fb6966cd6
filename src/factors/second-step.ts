import type { UserTable } from '../../db/schema.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'

/** Somebody who has shown one factor shows another. */
export interface SecondStep {
  readonly user: UserTable
  /** To which the user logs in. */
  readonly client: Client
  readonly caller: Caller
  /** Tells the device apart; from a genuine device token of this user. */
  readonly device: string | undefined
}
