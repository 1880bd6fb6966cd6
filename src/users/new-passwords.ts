import type { UserTable } from '../../db/schema.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import { newPasswordProblem } from './passwords.ts'

/** Why a password is not good enough. */
export interface PasswordProblem {
  readonly kind: 'form' | 'common' | 'own_name'
  /** For a shell, without a capital and a full stop. */
  readonly text: string
}

export interface PasswordOwner {
  readonly user: Pick<UserTable, 'username' | 'claims'>
  /** What the installation is called. */
  readonly operator?: string | null | undefined
}

/**
 * Judges every new password, wherever it is set (NIST SP 800-63B-4 §3.1.1.2): its form, then the list of
 * common ones, then the names of its owner and of the installation. Undefined when it is fine. Nothing is
 * demanded of what it is composed of.
 */
export async function judgeNewPassword(
  password: string,
  owner: PasswordOwner,
): Promise<PasswordProblem | undefined> {
  const problem = newPasswordProblem(password)
  if (problem !== undefined) return { kind: 'form', text: problem }
  const compared = comparedName(password)
  const common = await commonPasswords()
  if (common.has(compared))
    return { kind: 'common', text: 'the password is one of the first that everybody tries: take another one' }
  // The rest of it is the part that others could not know.
  const left = ownNames(owner).reduce((text, name) => text.replaceAll(name, ''), compared)
  if (left !== compared && ([...left].length < leastLength || common.has(left)))
    return {
      kind: 'own_name',
      text: `the password is little more than a name of the user or of this server: without it, it needs ${leastLength} characters`,
    }
  return undefined
}

const leastLength = 8

/** Shorter ones are parts of many words. */
const leastName = 3

const nameClaims = [
  'name',
  'given_name',
  'family_name',
  'middle_name',
  'nickname',
  'preferred_username',
  'email',
] as const

/** Whole and by their words, the longest first: they have to go before their parts. */
function ownNames({ user, operator }: PasswordOwner): readonly string[] {
  const claims = parseUserClaims(user.claims)
  const given = [user.username, operator, ...nameClaims.map(claim => claims[claim])]
  const names = given
    .filter(name => typeof name === 'string')
    .map(name => comparedName(name).replace(/@.*$/s, ''))
  const words = names.flatMap(name => [name, ...name.split(/[^\p{L}\p{M}\p{N}]+/u)])
  return [...new Set(words)]
    .filter(word => [...word].length >= leastName)
    .toSorted((a, b) => b.length - a.length)
}

let loading: Promise<ReadonlySet<string>> | undefined

/** Read when the first password is judged: most processes never need it. */
function commonPasswords(): Promise<ReadonlySet<string>> {
  return (loading ??= import('@zxcvbn-ts/language-common').then(
    ({ dictionary }) =>
      new Set(
        dictionary['passwords-common']
          .filter((word: string | number) => String(word).length >= leastLength)
          .map(String),
      ),
  ))
}
