import { findClient, listClientIds } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import type { ClientTable } from '../../db/schema.ts'

/** Clients in memory, as they were when they were first asked for. */
export interface KnownClients {
  find(id: string): Promise<ClientTable | undefined>
  /** Something may have changed: from now on all are asked for again. */
  forget(): void
}

/**
 * Whether a text can be the id of a client: VSCHAR (RFC 6749 appendix A.1), and no longer than a name has to
 * be. No other is looked for, which a database might not even take.
 */
export function isClientId(text: string): boolean {
  return /^[\x20-\x7e]{1,255}$/.test(text)
}

/** So many clients are kept whole. */
const clientsMax = 10_000

/** So many ids are kept: some ten megabytes, read in a twentieth of a second. */
const idsMax = 100_000

/** So many ids may be looked for before it is known which there are at all. */
const doubtsMax = 8

/** Knowledge since the last possible change. A row that was read before it and arrives later is not kept. */
interface Memory {
  /** As they are answered with: a promise for each request would cost more than to find it. */
  readonly clients: Map<string, Promise<ClientTable>>
  /** Looked for, and not found yet, or not at all. */
  doubts: number
  /** All ids that there are; undefined until they are read, and where they are too many. */
  ids?: ReadonlySet<string> | undefined
  reading?: Promise<void> | undefined
}

/**
 * Anybody can make ids up, each of them another one. So after a few that are not found, all that there are
 * get read at once, and what is not among them costs nothing any more. An installation that has more than can
 * be kept asks for each. `asItCounts` makes what is kept of a row.
 */
export function openKnownClients(
  db: Database,
  asItCounts: (row: ClientTable) => Promise<ClientTable> = async row => row,
): KnownClients {
  let memory: Memory = { clients: new Map(), doubts: 0 }

  const readIds = async (into: Memory) => {
    const ids = await listClientIds(db, idsMax + 1)
    if (ids.size <= idsMax) into.ids = ids
  }
  const lookFor = async (own: Memory, id: string): Promise<ClientTable | undefined> => {
    if (!isClientId(id)) return undefined
    if (own.doubts >= doubtsMax) {
      await (own.reading ??= readIds(own).catch((error: unknown) => {
        own.reading = undefined
        throw error
      }))
      if (own.ids && !own.ids.has(id)) return undefined
    }
    own.doubts++
    const row = await findClient(db, id)
    if (!row) return undefined
    own.doubts--
    const client = await asItCounts(row)
    if (own.clients.size >= clientsMax) own.clients.clear()
    own.clients.set(id, Promise.resolve(client))
    return client
  }
  return {
    find: id => memory.clients.get(id) ?? lookFor(memory, id),
    forget: () => {
      memory = { clients: new Map(), doubts: 0 }
    },
  }
}
