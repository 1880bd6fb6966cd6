import {
  countSignIns,
  listSignIns as listSignInRows,
  pageOfSignIns as pageOfSignInRows,
  type ListedSignIn,
  type SignInFilter,
} from '../../db/users/sign-in-pages.ts'
import { endChosenSignIns, type ChosenEndOptions } from '../endings/end-chosen.ts'
import type { FinishedWork } from '../endings/finish.ts'
import { Refusal } from '../errors.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import type { PageChoice } from './sessions.ts'
import { existingUser } from './users.ts'

/** Which sign-ins; a member that is undefined does not matter. */
export interface SignInChoice {
  /** The name, or the `sub`. */
  readonly user?: string | undefined
  readonly id?: Buffer | undefined
}

export interface ChosenSignIns {
  /** The name of the user that is chosen, if one is. */
  readonly username: string | undefined
  readonly filter: Omit<SignInFilter, 'livingAt'>
  /** The choice, by the names of the documents. */
  readonly document: { readonly sub?: string; readonly sign_in?: string }
}

/** Finds which sign-ins are meant. Refuses a user that is unknown. */
export async function chooseSignIns(admin: Admin, choice: SignInChoice): Promise<ChosenSignIns> {
  const { id } = choice
  const user = choice.user === undefined ? undefined : await existingUser(admin, choice.user)
  return {
    username: user?.username,
    filter: { ...(user && { userId: user.id }), ...(id && { id }) },
    document: { ...(user && { sub: formatUuid(user.id) }), ...(id && { sign_in: formatUuid(id) }) },
  }
}

/** The chosen sign-ins that live, as documents, the oldest first, as they are read. */
export async function* listSignIns(
  { db, clock }: Admin,
  { filter }: ChosenSignIns,
): AsyncGenerator<DescribedSignIn> {
  for await (const signIn of listSignInRows(db, { ...filter, livingAt: clock.now() }))
    yield describeSignIn(signIn)
}

/** One page of the chosen sign-ins that live, the oldest first; it may be shorter than its limit. */
export async function pageOfSignIns(
  { db, clock }: Admin,
  { filter }: ChosenSignIns,
  page: PageChoice,
): Promise<{ readonly signIns: readonly DescribedSignIn[]; readonly next: Buffer | undefined }> {
  const { signIns, next } = await pageOfSignInRows(db, { ...filter, livingAt: clock.now() }, page)
  return { signIns: signIns.map(describeSignIn), next }
}

export type DescribedSignIn = ReturnType<typeof describeSignIn>

/** The document of a sign-in. */
export function describeSignIn({ id, user_id, username, amr, is_persistent, ...rest }: ListedSignIn) {
  return {
    sign_in: formatUuid(id),
    sub: formatUuid(user_id),
    username,
    amr: itemsOf(amr),
    persistent: is_persistent === 1,
    ...rest,
  }
}

/**
 * How many of the chosen sign-ins there are to end, also those of which only the sessions are left. Refuses
 * one that is chosen by its id and has ended.
 */
export async function countChosen({ db, clock }: Admin, { filter }: ChosenSignIns): Promise<number> {
  const count = await countSignIns(db, { ...filter, livingAt: clock.now(), withLeft: true })
  if (count > 0 || !filter.id) return count
  throw new Refusal('not_found', 'no such sign-in lives', '`mintmark sign-in list` shows all that do')
}

/** Ends the chosen sign-ins one after the other, and the sessions that end with them. */
export async function revokeSignIns(
  admin: Admin,
  { filter }: ChosenSignIns,
  options: ChosenEndOptions,
): Promise<FinishedWork> {
  return endChosenSignIns(admin, filter, options)
}
