import { findResource } from '../db/clients/resources.ts'
import { findUser } from '../db/users/users.ts'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { openStatusPositions } from '../src/endings/status-positions.ts'
import { openInstallation } from '../src/installation/open.ts'
import { silentLog } from '../src/record/restore-log.ts'
import { makePersonalToken, personalTokenSeconds } from '../src/sessions/personal-tokens.ts'
import { resource as uri } from './clients.ts'
import { username, type Mintmark } from './mintmark.ts'

/** Makes so many personal access tokens, as the page and the command do. */
export async function addPersonalTokens({ settings }: Mintmark, count: number): Promise<readonly string[]> {
  const clock = systemClock()
  const { db, rootKeys } = await openInstallation(loadConfig(settings, '.'), clock, { mayCreate: false })
  const [user, resource] = [await findUser(db, username), await findResource(db, uri)]
  if (!user) throw new Error('unreachable: the user was added')
  const actor = { kind: 'command', user: 'root' } as const
  const maker = {
    by: { db, clock, log: silentLog, actor },
    rootKeys,
    nextStatusPosition: openStatusPositions(db),
  }
  const texts: string[] = []
  while (texts.length < count) {
    const wish = { name: `${texts.length}`, scope: ['orders:read'], seconds: personalTokenSeconds.usual }
    const start = { wish, user, resource, authTime: clock.now(), amr: 'pwd', address: null }
    const made = await makePersonalToken(maker, start)
    if (typeof made === 'string') throw new Error(made)
    texts.push(made.text)
  }
  await db.close()
  return texts
}
