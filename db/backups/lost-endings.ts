import type { Database } from '../database.ts'

/** Ends that a backup knows nothing of: these have ended in the present database, and live in the backup. */
export interface LostEndings {
  readonly sessions: number
  readonly users: readonly {
    readonly username: string
    readonly since: 'disabled' | 'deleted' | 'password changed'
  }[]
  readonly clients: readonly {
    readonly id: string
    readonly since: 'disabled' | 'deleted' | 'secret replaced'
  }[]
  readonly keys: readonly { readonly kid: string }[]
}

/**
 * Compares a backup with the database that it is to replace. `onProgress` is told how many sessions were
 * compared.
 */
export async function findLostEndings(
  present: Database,
  backup: Database,
  { madeAt, now }: { readonly madeAt: number; readonly now: number },
  onProgress: (compared: number) => void,
): Promise<LostEndings> {
  return {
    sessions: await countSessions(present, backup, { madeAt, now }, onProgress),
    users: await usersOf(present, backup),
    clients: await clientsOf(present, backup),
    keys: await keysOf(present, backup),
  }
}

const pageSize = 1000

async function countSessions(
  present: Database,
  backup: Database,
  { madeAt, now }: { readonly madeAt: number; readonly now: number },
  onProgress: (compared: number) => void,
): Promise<number> {
  let lost = 0
  let compared = 0
  for (let after: Buffer | undefined = Buffer.alloc(16); after;) {
    const ids: Buffer[] = (
      await ofThisEpoch(backup)
        .where('sessions.id', '>', after)
        .where('expires_at', '>', madeAt)
        .where('absolute_expires_at', '>', now)
        .orderBy('sessions.id')
        .limit(pageSize)
        .execute()
    ).map(row => row.id)
    const living =
      ids.length === 0 ? [] : await ofThisEpoch(present).where('sessions.id', 'in', ids).execute()
    lost += ids.length - living.length
    compared += ids.length
    onProgress(compared)
    after = ids.length < pageSize ? undefined : ids.at(-1)
  }
  return lost
}

/** The sessions that have not been ended. */
function ofThisEpoch({ sql }: Database) {
  return sql
    .selectFrom('sessions')
    .innerJoin('clients', 'clients.id', 'sessions.client_id')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .select('sessions.id')
    .where('revoked_at', 'is', null)
    .whereRef('clients.epoch', '=', 'client_epoch')
    .where(({ or, eb }) =>
      or([eb('sessions.user_id', 'is', null), eb('users.epoch', '=', eb.ref('user_epoch'))]),
    )
}

async function usersOf(present: Database, backup: Database): Promise<LostEndings['users']> {
  const lost: { username: string; since: 'disabled' | 'deleted' | 'password changed' }[] = []
  const read = ({ sql }: Database) =>
    sql.selectFrom('users').select(['id', 'username', 'epoch', 'password_hash', 'disabled_at']).orderBy('id')
  for (let after: Buffer | undefined = Buffer.alloc(16); after;) {
    const page = await read(backup).where('id', '>', after).limit(pageSize).execute()
    const ids = page.map(user => user.id)
    const found = ids.length === 0 ? [] : await read(present).where('id', 'in', ids).execute()
    const byId = new Map(found.map(user => [user.id.toString('hex'), user]))
    for (const { id, username, epoch, password_hash, disabled_at } of page) {
      if (disabled_at !== null) continue
      const now = byId.get(id.toString('hex'))
      if (!now) lost.push({ username, since: 'deleted' })
      else if (now.disabled_at !== null) lost.push({ username, since: 'disabled' })
      // A hash of the same password is renewed without raising the epoch.
      else if (now.epoch !== epoch && now.password_hash !== password_hash) {
        lost.push({ username, since: 'password changed' })
      }
    }
    after = page.length < pageSize ? undefined : page.at(-1)?.id
  }
  return lost
}

async function clientsOf(present: Database, backup: Database): Promise<LostEndings['clients']> {
  const read = ({ sql }: Database) =>
    sql.selectFrom('clients').select(['id', 'secret_hash', 'old_secret_hash', 'disabled_at']).execute()
  const byId = new Map((await read(present)).map(client => [client.id, client]))
  return (await read(backup)).flatMap(({ id, secret_hash, disabled_at }): LostEndings['clients'] => {
    if (disabled_at !== null) return []
    const now = byId.get(id)
    if (!now) return [{ id, since: 'deleted' }]
    if (now.disabled_at !== null) return [{ id, since: 'disabled' }]
    const isKept = [now.secret_hash, now.old_secret_hash].some(hash => hash && secret_hash?.equals(hash))
    return secret_hash === null || isKept ? [] : [{ id, since: 'secret replaced' }]
  })
}

async function keysOf(present: Database, backup: Database): Promise<LostEndings['keys']> {
  const kids = async ({ sql }: Database, which: 'is' | 'is not') =>
    (await sql.selectFrom('signing_keys').select('kid').where('revoked_at', which, null).execute()).map(
      row => row.kid,
    )
  const revoked = await kids(present, 'is not')
  return (await kids(backup, 'is')).filter(kid => revoked.includes(kid)).map(kid => ({ kid }))
}
