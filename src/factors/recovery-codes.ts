import { randomBytes, timingSafeEqual } from 'node:crypto'
import {
  listRecoveryCodes,
  replaceRecoveryCodes,
  spendRecoveryCode,
} from '../../db/factors/recovery-codes.ts'
import type { RecoveryCodeTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { newUuid } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import { findFactors } from './factors.ts'
import { byOwner, type Owner } from './owner.ts'
import { tryCode, type SecondStep } from './second-step.ts'

/** How many a user has. */
const codesMax = 10

/** Of each: 60 random bits. */
const codeLength = 12

/** Crockford's base32: digits, and letters that are not taken for digits. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** Ten new ones in place of all before, to be shown once: three groups of four characters. */
export async function renewRecoveryCodes(ctx: Context, owner: Owner): Promise<readonly string[]> {
  const codes = await makeRecoveryCodes(ctx, owner, {})
  if (!codes) throw new Error('unreachable: all before are replaced')
  return codes
}

/**
 * Those that come with a second factor, where its owner has none; else undefined. Of two factors that are set
 * up at once, each as the first one, one comes with codes, and those that are shown are good.
 */
export async function firstRecoveryCodes(ctx: Context, owner: Owner): Promise<readonly string[] | undefined> {
  const { recoveryCodesLeft } = await findFactors(ctx, owner.user.id)
  if (recoveryCodesLeft > 0) return undefined
  return makeRecoveryCodes(ctx, owner, { unlessPresent: true })
}

async function makeRecoveryCodes(
  ctx: Context,
  owner: Owner,
  options: { readonly unlessPresent?: boolean },
): Promise<readonly string[] | undefined> {
  const { user } = owner
  const now = ctx.clock.now()
  const salt = randomBytes(16)
  const codes = Array.from({ length: codesMax }, newCode)
  const rows: RecoveryCodeTable[] = []
  // One after the other, so that others who log in get their turns between.
  for (const code of codes) {
    const hash = await ctx.users.passwords.hashCode(code, salt, owner.caller.source)
    rows.push({ id: newUuid(now), user_id: user.id, salt, hash, created_at: now, used_at: null })
  }
  let outcome = 'epoch_raised' as Awaited<ReturnType<typeof replaceRecoveryCodes>>
  await record(
    byOwner(ctx, owner, { kind: 'recovery_codes_renewed' }),
    { event: 'recovery_codes_renewed', userId: user.id },
    async db => {
      outcome = await replaceRecoveryCodes(db, rows, user, options)
      return outcome === 'replaced'
    },
  )
  if (outcome === 'present') return undefined
  if (outcome === 'epoch_raised')
    throw unavailable(new Error("the user's epoch was raised while codes were made"))
  return codes.map(code => code.replace(/.{4}(?=.)/g, '$&-'))
}

function newCode(): string {
  return Array.from(randomBytes(codeLength), byte => alphabet[byte & 31]).join('')
}

/**
 * Takes one of the user's recovery codes, which counts once. Throws `invalid_grant` for any other text, and
 * 429 where too many were wrong.
 */
export async function useRecoveryCode(ctx: Context, step: SecondStep, text: string): Promise<void> {
  await tryCode(ctx, step, 'recovery code', async () => {
    const code = readCode(text)
    const rows = code === undefined ? [] : await listRecoveryCodes(ctx.db, step.user.id)
    const [first] = rows
    if (code === undefined || !first) return false
    const hash = await ctx.users.passwords.hashCode(code, first.salt, step.caller.source)
    const found = rows.find(row => timingSafeEqual(row.hash, hash))
    return found !== undefined && (await spend(ctx, step, found, rows.length - 1))
  })
}

/** As it was typed: in any case, with or without hyphens and spaces; O is 0, and I and L are 1. */
function readCode(text: string): string | undefined {
  const code = text.replace(/[\s-]/g, '').toUpperCase().replaceAll('O', '0').replace(/[IL]/g, '1')
  return code.length === codeLength && [...code].every(one => alphabet.includes(one)) ? code : undefined
}

/** How many are left is by what was read, which another use at the same moment does not change. */
async function spend(
  ctx: Context,
  owner: Owner,
  { id }: Pick<RecoveryCodeTable, 'id'>,
  left: number,
): Promise<boolean> {
  return record(
    byOwner(ctx, owner, { kind: 'recovery_code_used', left }),
    { event: 'recovery_code_used', userId: owner.user.id, detail: { left } },
    db => spendRecoveryCode(db, id, ctx.clock.now()),
  )
}
