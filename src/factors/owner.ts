import type { UserTable } from '../../db/schema.ts'
import type { RequestOrigin } from '../record/actor.ts'

/** Whose factors are changed, and from where. */
export interface Owner {
  readonly user: UserTable
  readonly caller: RequestOrigin
  /** Who changes them where that is not the user: an admin, by a command. */
  readonly by?: 'admin'
}
