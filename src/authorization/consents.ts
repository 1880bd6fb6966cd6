import {
  findConsent,
  rememberConsent as rememberConsentRow,
  type ConsentKey,
  type NewConsent,
} from '../../db/users/consents.ts'
import type { ClientTable, ConsentTable, UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { unavailable, type OAuthError } from '../errors.ts'
import { detailsMax, typesOf, type AuthorizationDetails } from '../protocol/authorization-details.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { RequestOrigin } from '../record/actor.ts'
import type { Event } from '../record/events.ts'
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
  readonly details?: AuthorizationDetails
}

/** What is written of a consent that is given now. */
export function newConsent({ clock }: Pick<Context, 'clock'>, consent: Consent): NewConsent {
  const now = clock.now()
  const { details = [], ...of } = consent
  const added = details.map(one => JSON.stringify(one))
  return { id: newUuid(now), ...of, ...(added.length > 0 && { details: { added, max: detailsMax } }), now }
}

/** What is told of it. */
export function consentGranted(consent: Consent): Event<'consent_granted'> {
  const { user, client, resource, scope, details = [] } = consent
  const detail = {
    scope,
    ...(resource !== null && { resource }),
    // No more of them than this: there may be an account number in it.
    ...(details.length > 0 && { authorization_details_types: typesOf(details) }),
  }
  return { event: 'consent_granted', userId: user.id, clientId: client.id, detail }
}

/** Of a consent that was not remembered: the epoch of its user or its client was raised. */
export function consentOutdated(): OAuthError {
  return unavailable(new Error('the epoch of user or client was raised while the user was asked'))
}

/**
 * Remembers what a user has allowed, beside what was allowed before; returns all of it. 503, and nothing is
 * remembered, when the epoch of the user or the client was raised since the user was asked.
 */
export async function rememberConsent(
  ctx: Context,
  consent: Consent,
  caller: RequestOrigin,
): Promise<Allowed> {
  const allowed = await record(byUser(ctx, consent.user.id, caller), consentGranted(consent), db =>
    rememberConsentRow(db, newConsent(ctx, consent)),
  )
  if (!allowed) throw consentOutdated()
  return allowed
}
