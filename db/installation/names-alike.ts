import { comparedNamesOf, type ComparedName } from '../users/compared-name.ts'

/** How names are compared, which a migration is told, since it imports nothing. */
export interface NameMapping {
  readonly comparedNamesOf: typeof comparedNamesOf
  /** Throws. */
  readonly refuse: (alike: NamesAlike) => never
}

/** Names of different users that are one name when they are compared. */
export interface NamesAlike {
  /** The first of them. */
  readonly pairs: readonly (readonly [HeldName, HeldName])[]
  readonly count: number
}

/** The user name of somebody who has the name as its user name or as its mail address. */
export interface HeldName {
  readonly username: string
  readonly kind: ComparedName['kind']
}

/** The database was not migrated, and nothing in it changed. */
export class NamesAlikeError extends Error {
  override readonly name = 'NamesAlikeError'
  readonly alike: NamesAlike

  constructor(alike: NamesAlike) {
    super('users have names that are one name')
    this.alike = alike
  }
}

export const nameMapping: NameMapping = {
  comparedNamesOf,
  refuse: alike => {
    throw new NamesAlikeError(alike)
  },
}
