import type { Context } from '../context.ts'
import type { Owner } from './owner.ts'
import type { SecondStep } from './second-step.ts'

/** Ten new ones in place of all before, to be shown once: four, four and four characters. */
export async function renewRecoveryCodes(ctx: Context, owner: Owner): Promise<readonly string[]> {
  throw new Error(`not made yet: ${String(ctx && owner)}`)
}

/** Whether it is one of the user's that has not been used yet. 429 where too many were wrong. */
export async function useRecoveryCode(ctx: Context, step: SecondStep, code: string): Promise<boolean> {
  throw new Error(`not made yet: ${String(ctx && step && code)}`)
}
