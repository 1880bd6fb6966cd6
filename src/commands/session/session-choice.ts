import { findClient, listClients } from '../../../db/clients/clients.ts'
import { findResource } from '../../../db/clients/resources.ts'
import type { Database } from '../../../db/database.ts'
import type { UserTable } from '../../../db/schema.ts'
import type { SessionFilter } from '../../../db/sessions/pages.ts'
import { findUser, findUserById } from '../../../db/users/users.ts'
import { formatUuid, parseUuid } from '../../protocol/secrets.ts'
import { formatDuration } from '../../values/duration.ts'
import { CommandError } from '../shell/failures.ts'

/** What the options name. Durations are seconds. */
export interface Choice {
  readonly user?: string | undefined
  readonly client?: string | undefined
  readonly resource?: string | undefined
  readonly id?: Buffer | undefined
  readonly olderThan?: number | undefined
  readonly idleFor?: number | undefined
}

export interface Chosen {
  readonly filter: SessionFilter
  /** ` of alice through web`, or nothing. */
  readonly words: string
  readonly json: {
    readonly sub?: string
    readonly client_id?: string
    readonly resource?: string
    readonly sid?: string
  }
}

/** Which sessions the options mean. Throws when there is no such user, client or resource. */
export async function choose(db: Database, choice: Choice, now: number): Promise<Chosen> {
  const { client, resource, id, olderThan, idleFor } = choice
  const user = choice.user === undefined ? undefined : await userOf(db, choice.user)
  if (client !== undefined && !(await findClient(db, client))) {
    throw new CommandError(`there is no client ${client}: \`mintmark client list\` shows all`)
  }
  const clientIds = resource === undefined ? [] : await clientsOf(db, resource)
  const words = [
    user && `of ${user.username}`,
    client && `through ${client}`,
    resource && `for ${resource}`,
    olderThan && `older than ${formatDuration(olderThan)}`,
    idleFor && `idle for ${formatDuration(idleFor)}`,
  ].filter(word => word)
  return {
    filter: {
      ...(user && { userId: user.id }),
      ...(client !== undefined && { clientId: client }),
      ...(resource !== undefined && { resource: { uri: resource, clientIds } }),
      ...(id && { id }),
      ...(olderThan !== undefined && { beganBy: now - olderThan }),
      ...(idleFor !== undefined && { unusedSince: now - idleFor }),
    },
    words: words.length === 0 ? '' : ` ${words.join(' ')}`,
    json: {
      ...(user && { sub: formatUuid(user.id) }),
      ...(client !== undefined && { client_id: client }),
      ...(resource !== undefined && { resource }),
      ...(id && { sid: formatUuid(id) }),
    },
  }
}

async function userOf(db: Database, text: string): Promise<UserTable> {
  const id = parseUuid(text.toLowerCase())
  const found = id ? await findUserById(db, id) : await findUser(db, text.normalize('NFC'))
  if (!found) throw new CommandError(`there is no user ${text}: \`mintmark user list\` shows all`)
  return found
}

/** The clients whose sessions may ask for tokens of this API without being bound to it. */
async function clientsOf(db: Database, uri: string): Promise<readonly string[]> {
  if (!(await findResource(db, uri))) {
    throw new CommandError(`there is no resource ${uri}: \`mintmark resource list\` shows all`)
  }
  const clients = await listClients(db)
  return clients.filter(({ resources }) => resources.split(' ').includes(uri)).map(({ id }) => id)
}
