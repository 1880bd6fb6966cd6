import { accountClient } from '../../clients/account-client.ts'
import { firstRecoveryCodes } from '../../factors/recovery-codes.ts'
import { stepUp } from '../enter.ts'
import { browserOf } from '../proceed.ts'
import { newRecoveryCodesView } from '../views/account/recovery-codes.ts'
import type { AccountNotice } from '../texts/account-texts.ts'
import { redirectTo } from '../visit.ts'
import { leadToDone, showOwn, type OwnVisit } from './own-visit.ts'

/** A factor that was just set up. */
export interface NewFactor {
  readonly notice: AccountNotice
  /** What was proved by it (RFC 8176), separated by spaces. */
  readonly amr: string
  /** Where its owner goes on: a path of ours. */
  readonly next: string
  /** Whether that is a page of the account, which tells what was done. */
  readonly isAccount: boolean
}

/**
 * Goes on after a factor was set up: its owner has just shown it, which raises the log-in. It comes
 * with recovery codes for who has none: they are shown this once, and so with the answer to the form.
 */
export async function afterNewFactor(visit: OwnVisit, factor: NewFactor): Promise<void> {
  const { ctx, owner } = visit
  const { notice, amr, next } = factor
  await stepUp(visit, owner.signIn, { amr, client: accountClient(ctx.config), browser: browserOf(visit) })
  const codes = await firstRecoveryCodes(ctx, owner)
  if (codes) return showNewCodes(visit, { codes, nextHref: next, notice })
  return factor.isAccount ? leadToDone(visit, next, notice) : redirectTo(visit, `${ctx.config.issuer}${next}`)
}

interface NewCodes {
  readonly codes: readonly string[]
  readonly nextHref: string
  readonly notice?: AccountNotice
}

/** Shows recovery codes that were just made. */
export function showNewCodes(visit: OwnVisit, { codes, nextHref, notice }: NewCodes): void {
  showOwn(visit, (frame, state) => newRecoveryCodesView(frame, state, { codes, nextHref }), { notice })
}
