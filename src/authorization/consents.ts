import {
  findConsent,
  rememberConsent as rememberConsentRow,
  type ConsentKey,
} from '../../db/users/consents.ts'
import type { ClientTable, ConsentTable, UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byUser, record } from '../record/record.ts'

/** What the user has allowed: the id of all of it, and its scope, separated by spaces. */
export type Allowed = Pick<ConsentTable, 'id' | 'scope'>

/**
 * What the user has allowed the client for this resource; undefined for nothing. Null is the resource of a
 * request that names none.
 */
export async function findAllowed(
  { db }: Pick<Context, 'db'>,
  key: ConsentKey,
): Promise<Allowed | undefined> {
  return findConsent(db, key)
}

export interface Consent {
  /** As they were when the user was asked. */
  readonly user: Pick<UserTable, 'id' | 'epoch'>
  readonly client: Pick<ClientTable, 'id' | 'epoch'>
  readonly resource: string | null
  readonly scope: readonly string[]
  readonly caller: RequestOrigin
}

/**
 * Remembers what a user has allowed, beside what was allowed before; returns all of it. Undefined, and
 * nothing is remembered, when the epoch of the user or the client was raised since the user was asked.
 */
export async function rememberConsent(ctx: Context, consent: Consent): Promise<Allowed | undefined> {
  const { user, client, resource, scope, caller } = consent
  const now = ctx.clock.now()
  const detail = { scope, ...(resource !== null && { resource }) }
  return record(
    byUser(ctx, user.id, caller),
    { event: 'consent_granted', userId: user.id, clientId: client.id, detail },
    db => rememberConsentRow(db, { id: newUuid(now), user, client, resource, scope, now }),
  )
}
