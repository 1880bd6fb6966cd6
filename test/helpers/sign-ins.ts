import type { Database } from '../../db/database.ts'
import type { SignInTable, UserTable } from '../../db/schema.ts'
import {
  insertSignIn,
  type EndsOfOthers,
  type NewSignIn,
  type SignInRenewal,
} from '../../db/users/sign-ins.ts'
import { findUserById } from '../../db/users/users.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { madeAt } from './records.ts'

/** What a log-in of one second after the records were made gives a sign-in. */
export const renewalOf = (secret: string, changes: Partial<SignInRenewal> = {}): SignInRenewal => ({
  secret_hash: hashSecret(secret),
  auth_time: madeAt + 1,
  amr: 'pwd',
  used_at: madeAt + 1,
  expires_at: madeAt + 1000,
  is_persistent: 0,
  last_address: '192.0.2.1',
  user_agent: 'Lynx',
  browser: null,
  ...changes,
})

export const newSignIn = (secret: string, changes: Partial<NewSignIn> = {}): NewSignIn => ({
  id: newUuid(madeAt),
  created_at: madeAt + 1,
  first_address: '192.0.2.1',
  ...renewalOf(secret),
  ...changes,
})

export async function userOf(db: Database, id: Buffer): Promise<UserTable> {
  const user = await findUserById(db, id)
  if (!user) throw new Error('the user is gone')
  return user
}

/** What else a log-in ends: nothing unless told. */
export const endsOf = (replaced?: EndsOfOthers['replaced'], signInsMax = 100): EndsOfOthers => ({
  replaced,
  bound: { signInsMax, end: { now: madeAt + 1, reason: 'limit' } },
})

/** Adds a sign-in of the user as it is now, with the secret `first`. */
export async function beginSignIn(
  db: Database,
  userId: Buffer,
  changes: Partial<NewSignIn> = {},
): Promise<SignInTable> {
  const user = await userOf(db, userId)
  const added = await insertSignIn(
    db,
    newSignIn('first', changes),
    { user, knownSources: undefined },
    endsOf(),
  )
  if (!added) throw new Error('the sign-in was not added')
  return added.signIn
}
