import type { Context } from '../context.ts'
import type { LineLog } from '../record/restore-log.ts'
import type { Admin } from './admin.ts'

/** What an act is passed, where it is asked for at a server that runs. */
export function servedAdmin(
  ctx: Context,
  { actor, isLimited }: Pick<Admin, 'actor'> & { readonly isLimited: boolean },
  log: LineLog,
): Admin {
  const { config, db, clock, counts, rootKeys, mail, users } = ctx
  const { passwords } = users
  return { config, db, clock, counts, rootKeys, mail, passwords, log, actor, isLimited }
}
