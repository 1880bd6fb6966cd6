import { findInstallation } from '../../db/installation/installation.ts'
import type { Context } from '../context.ts'
import type { LineLog } from '../record/restore-log.ts'
import type { Admin } from './admin.ts'

/** What an act is passed, where it is asked for at a server that runs. */
export async function servedAdmin(
  ctx: Context,
  { actor, isLimited }: Pick<Admin, 'actor'> & { readonly isLimited: boolean },
  log: LineLog,
): Promise<Admin> {
  const { config, db, clock, counts, rootKeys, mail, users } = ctx
  const installation = await findInstallation(db)
  if (!installation) throw new Error('unreachable: a server has opened its installation')
  const { passwords } = users
  return { config, db, clock, counts, rootKeys, mail, installation, passwords, log, actor, isLimited }
}
