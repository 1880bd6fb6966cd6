import type { Owner } from '../../account/owner.ts'
import { floorOf } from '../../authorization/look.ts'
import type { Context } from '../../context.ts'
import type { Level } from '../../protocol/levels.ts'

/** The level that the installation demands of a user. */
export function demandedLevel({ config }: Context, user: Owner['user']): Level {
  return floorOf(config, { acr: 'pwd' }, user)
}
