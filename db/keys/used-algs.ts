import type { Kysely } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables } from '../schema.ts'

/** What something is to be signed with, and what signs it until that may. */
export interface UsedAlg {
  readonly alg: string
  /** Null where `alg` signs already, as far as is known. */
  readonly previous_alg: string | null
}

/** Signs for clients until a key of their choice may. */
const untilThen = 'RS256'

/**
 * The algorithms that resources have for their tokens, and clients for their ID tokens and answers of
 * /userinfo.
 */
export async function listUsedAlgs({ sql }: Database): Promise<readonly UsedAlg[]> {
  const ofResources = await sql.selectFrom('resources').select(['alg', 'previous_alg']).distinct().execute()
  const ofClients = await algsOfClients(sql).execute()
  return [...ofResources, ...ofClients.map(({ alg }) => ({ alg, previous_alg: untilThen }))]
}

function algsOfClients(sql: Pick<Kysely<Tables>, 'selectFrom'>) {
  return sql
    .selectFrom('clients')
    .select('id_token_alg as alg')
    .union(eb =>
      eb
        .selectFrom('clients')
        .select(({ ref }) => ref('userinfo_alg').$notNull().as('alg'))
        .where('userinfo_alg', 'is not', null),
    )
}

/** Whether nothing is to be signed with an algorithm, now or later: a condition of a larger statement. */
export async function isUnused(sql: Pick<Kysely<Tables>, 'selectFrom'>, alg: string): Promise<boolean> {
  const resource = await sql
    .selectFrom('resources')
    .select('uri')
    .where(eb => eb.or([eb('alg', '=', alg), eb('previous_alg', '=', alg)]))
    .executeTakeFirst()
  if (resource) return false
  const client = await sql
    .selectFrom('clients')
    .select('id')
    .where(eb => eb.or([eb('id_token_alg', '=', alg), eb('userinfo_alg', '=', alg)]))
    .executeTakeFirst()
  return !client
}
