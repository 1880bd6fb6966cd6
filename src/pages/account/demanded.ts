import type { Context } from '../../context.ts'
import type { Level } from '../../protocol/levels.ts'
import type { Owner } from '../../account/owner.ts'

/** The level that the installation demands of a user. */
export function demandedLevel(_ctx: Context, _user: Owner['user']): Level {
  return 'pwd'
}
