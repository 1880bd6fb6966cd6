import type { Owner as FactorOwner } from '../factors/owner.ts'
import type { SignIn } from '../sessions/sign-in.ts'

/*
 * How an act is written: as src/admin/admin.ts says, but for whom it is done. It takes the context and the
 * `Owner` first. What cannot be done is told by the result, for the page to say in its reader's language.
 */

/** Who changes an account that is its own, and where it is logged in. */
export interface Owner extends FactorOwner {
  readonly signIn: SignIn
}
