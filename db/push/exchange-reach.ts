import type { Kysely } from 'kysely'
import { step, type Steps } from '../steps.ts'
import type { Tables } from '../schema.ts'

/**
 * Adds the resources that tokens for some resources may have been exchanged for (RFC 8693). Both are
 * separated by spaces.
 */
export type Reach = (resources: string) => string

/**
 * Reads which clients exchange tokens for the APIs that they serve, and for which others. Each exchange may
 * be of a token that was exchanged before.
 */
export function* readReach(sql: Kysely<Tables>): Steps<Reach> {
  const { rows } = yield* step(
    sql
      .selectFrom('clients')
      .select(['introspects', 'resources'])
      .where('grant_types', 'like', '%:token-exchange%')
      .where('introspects', '!=', '')
      .compile(),
  )
  const steps = rows.map(({ introspects, resources }) => ({
    from: introspects.split(' '),
    to: resources.split(' '),
  }))
  if (steps.length === 0) return resources => resources
  return resources => {
    const reached = new Set(resources.split(' ').filter(one => one !== ''))
    for (let before = -1; before < reached.size;) {
      before = reached.size
      for (const { from, to } of steps)
        if (from.some(one => reached.has(one))) for (const one of to) reached.add(one)
    }
    return [...reached].join(' ')
  }
}
