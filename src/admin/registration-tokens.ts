import {
  deleteRegistrationToken,
  insertRegistrationToken,
  listRegistrationTokens as listRows,
} from '../../db/clients/registrations.ts'
import type { RegistrationTokenTable } from '../../db/schema.ts'
import { Refusal } from '../errors.ts'
import { sealValue } from '../keys/sealed.ts'
import { formatUuid, newUuid, parseUuid } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import { day } from '../values/duration.ts'
import { isShownText } from '../values/shown-text.ts'
import type { Admin } from './admin.ts'

/** For how long a token may be good, and how many clients it may make. */
export const registrationSeconds = { least: 60, usual: 7 * day, most: 365 * day }
export const registrationClients = { usual: 10, most: 1000 }
const tokensMax = 1000

export interface NewRegistrationToken {
  /** For administrators; null for none. */
  readonly name: string | null
  readonly lifeSeconds: number
  readonly clientsMax: number
}

/**
 * Makes an initial access token (RFC 7591 §3), with which clients register themselves. Nothing of it is
 * stored but its id: the root key seals it, so neither the database nor its backup has it.
 */
export async function createRegistrationToken(
  admin: Admin,
  { name, lifeSeconds, clientsMax }: NewRegistrationToken,
): Promise<{ readonly row: RegistrationTokenTable; readonly token: string }> {
  if (name !== null && !isShownText(name, 100))
    throw new Refusal('invalid', 'the name takes up to 100 characters that can be seen', undefined, 'name')
  const now = admin.clock.now()
  const row = {
    id: newUuid(now),
    name,
    clients_max: clientsMax,
    clients_made: 0,
    expires_at: now + lifeSeconds,
    created_at: now,
  }
  const id = formatUuid(row.id)
  const detail = { registration_token: id, clients_max: clientsMax, expires_at: row.expires_at }
  const created = { event: 'registration_token_created', detail } as const
  if (!(await record(admin, created, db => insertRegistrationToken(db, row, tokensMax))))
    throw new Refusal('conflict', `there are ${tokensMax} registration tokens already`)
  return { row, token: sealValue(admin.rootKeys, 'registration token', admin.config.issuer, { id }) }
}

export async function listRegistrationTokens({
  db,
}: Pick<Admin, 'db'>): Promise<readonly RegistrationTokenTable[]> {
  return listRows(db)
}

/** Ends a token. The clients that it has made stay. */
export async function endRegistrationToken(admin: Admin, id: string): Promise<void> {
  const uuid = parseUuid(id)
  const detail = { registration_token: id }
  const deleted = { event: 'registration_token_deleted', detail } as const
  if (!uuid || !(await record(admin, deleted, db => deleteRegistrationToken(db, uuid)))) {
    throw new Refusal(
      'not_found',
      `there is no registration token ${id}`,
      '`mintmark client registration-token list` shows all',
    )
  }
}

/** The document of a token, without the token. */
export function describeRegistrationToken({ id, ...row }: RegistrationTokenTable) {
  return { id: formatUuid(id), ...row }
}
