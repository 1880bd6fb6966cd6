import {
  removeFactors as removeFactorRows,
  type FactorChoice,
  type RemovedFactors,
} from '../../db/factors/removals.ts'
import type { UserTable } from '../../db/schema.ts'
import { Refusal } from '../errors.ts'
import { findFactors, type Factors } from '../factors/factors.ts'
import { passkeyDocuments } from '../factors/passkeys.ts'
import { mailsOf } from '../mail/notices.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { existingUser, userToChange } from './users.ts'

/** The factors of a user beside the password. */
export async function listFactors(admin: Admin, username: string): Promise<Factors> {
  return findFactors(admin, (await existingUser(admin, username)).id)
}

/** The document of a user's factors. */
export function describeFactors({ hasPassword, passkeys, totp, recoveryCodesLeft }: Factors) {
  return {
    password: hasPassword,
    passkeys: passkeyDocuments(passkeys),
    totp: totp ?? null,
    recovery_codes_left: recoveryCodesLeft,
  }
}

/**
 * Removes a factor of a user who has lost it: `totp`, `recovery-codes`, `all`, or the id of a passkey. Its
 * owner is told by mail. Sessions and sign-ins go on.
 */
export async function removeFactor(admin: Admin, username: string, which: string): Promise<UserTable> {
  const user = await userToChange(admin, username)
  const choice = choiceOf(which)
  const factor =
    typeof choice.passkeys === 'object' ? 'passkey' : factorNames[which as keyof typeof factorNames]
  const mails = mailsOf(admin, user, { kind: 'factor_removed_by_admin', factor })
  const removed = await record(
    { ...admin, mails },
    ({ totp, passkeys, recoveryCodes }: RemovedFactors): readonly Event[] => [
      ...(totp ? [{ event: 'totp_removed', userId: user.id } as const] : []),
      ...passkeys.map(({ id, name }) => {
        const detail = { passkey: formatUuid(id), name }
        return { event: 'passkey_removed', userId: user.id, detail } as const
      }),
      ...(recoveryCodes ? [{ event: 'recovery_codes_removed', userId: user.id } as const] : []),
    ],
    db => removeFactorRows(db, user.id, choice),
  )
  if (!removed)
    throw new Refusal(
      'not_found',
      `the user ${username} has no such factor`,
      `\`mintmark user factor list ${username}\` shows all`,
    )
  return user
}

const factorNames = { totp: 'totp', 'recovery-codes': 'recovery_codes', all: 'all' } as const

function choiceOf(which: string): FactorChoice {
  const isAll = which === 'all'
  if (isAll || which in factorNames) {
    return {
      totp: isAll || which === 'totp',
      passkeys: isAll ? 'all' : 'none',
      recoveryCodes: isAll || which === 'recovery-codes',
    }
  }
  const id = parseUuid(which.toLowerCase())
  if (id) return { totp: false, passkeys: id, recoveryCodes: false }
  throw new Refusal('invalid', 'a factor is totp, recovery-codes, all, or the id of a passkey')
}
