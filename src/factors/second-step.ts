import type { UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { CodeKind } from '../users/throttle.ts'
import { mailOfWrongCodes } from './half-log-in.ts'
import { failed, throttled, type ProofPlace } from './log-in.ts'

/** Somebody who has shown one factor shows another. */
export interface SecondStep extends ProofPlace {
  /** As read before the code is looked at. */
  readonly user: UserTable
  /** Tells the device apart; from a genuine device token of this user. */
  readonly device: string | undefined
}

/**
 * Lets somebody try a code, and throws as `verifyLogIn` does: `invalid_grant` where it is not right, 429
 * where there were too many.
 */
export async function tryCode(
  ctx: Context,
  step: SecondStep,
  kind: CodeKind,
  isRight: () => Promise<boolean>,
): Promise<void> {
  const userId = step.user.id
  const attempt = await ctx.users.throttle.takeCode(kind, userId, step.device)
  if (attempt.kind === 'refused') {
    await mailOfWrongCodes(ctx, step)
    throw throttled(ctx, step, { ...attempt, userId })
  }
  try {
    if (await isRight()) return
    attempt.fail()
    throw failed(ctx, step, { userId, reason: `the ${kind} is wrong` })
  } finally {
    attempt.giveBack()
  }
}
