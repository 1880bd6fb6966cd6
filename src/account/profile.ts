import { changeUser } from '../../db/users/users.ts'
import type { Context } from '../context.ts'
import {
  changedClaims,
  parseUserClaims,
  readClaim,
  readClaimName,
  standardClaims,
  type ClaimChange,
} from '../protocol/standard-claims.ts'
import { record } from '../record/record.ts'
import { byOwner } from '../factors/owner.ts'
import type { Owner } from './owner.ts'

/** What people may say of themselves, as `readClaim` names it. */
export const ownClaims = [
  'name',
  'given_name',
  'family_name',
  'nickname',
  'birthdate',
  'phone_number',
  'website',
  'address.street_address',
  'address.postal_code',
  'address.locality',
  'address.region',
  'address.country',
  'locale',
  'zoneinfo',
] as const

export type OwnClaim = (typeof ownClaims)[number]

/** By its name what was typed; undefined or empty for none. */
export type Profile = Readonly<Partial<Record<OwnClaim, string | undefined>>>

export type ProfileVerdict =
  | { readonly kind: 'changed' | 'same' }
  /** Somebody else has changed it since. */
  | { readonly kind: 'moved_on' }
  /** In some of the fields, which `wrongFields` finds. */
  | { readonly kind: 'wrong' }

/** What is known of somebody, as it would be typed. */
export function profileOf({ claims }: Pick<Owner['user'], 'claims'>): Profile {
  const known = parseUserClaims(claims)
  const { address } = known
  return Object.fromEntries(
    ownClaims.map(name => {
      const [, member] = /^address\.(.*)$/.exec(name) ?? []
      const value =
        member === undefined
          ? known[name]
          : typeof address === 'object'
            ? Object.entries(address).find(([other]) => other === member)?.[1]
            : undefined
      return [name, typeof value === 'string' ? value : undefined]
    }),
  )
}

/** The fields in which something was typed that cannot be. */
export function wrongFields(typed: Profile): readonly OwnClaim[] {
  return ownClaims.filter(name => typeof readTyped(name, typed[name]) === 'string')
}

/** Changes what apps are told of the owner. */
export async function changeProfile(ctx: Context, owner: Owner, typed: Profile): Promise<ProfileVerdict> {
  const { user } = owner
  const read = ownClaims.map(name => readTyped(name, typed[name]))
  const changes = read.filter(change => typeof change !== 'string')
  if (changes.length < read.length) return { kind: 'wrong' }

  const before = parseUserClaims(user.claims)
  const after = changedClaims(before, changes)
  const isOther = (name: string) => JSON.stringify(before[name]) !== JSON.stringify(after[name])
  const claims = standardClaims.filter(isOther)
  if (claims.length === 0) return { kind: 'same' }
  const event = { event: 'user_changed', userId: user.id, detail: { claims } } as const
  const columns = { roles: user.roles, claims: JSON.stringify(after) }
  const by = byOwner(ctx, owner, { kind: 'profile_changed' })
  const isChanged = await record(by, event, db => changeUser(db, user, columns))
  return { kind: isChanged ? 'changed' : 'moved_on' }
}

/** A form has line breaks as CRLF (HTML §4.10.21.7). Spaces at the ends of a typed text are cut off. */
function readTyped(name: OwnClaim, typed = ''): ClaimChange | string {
  const text = typed.replaceAll('\r\n', '\n').trim()
  return text === '' ? readClaimName(name) : readClaim(`${name}=${text}`)
}
