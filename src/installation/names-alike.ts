import type { HeldName, NamesAlike } from '../../db/installation/names-alike.ts'
import { ConfigError } from '../errors.ts'
import { printable } from '../values/formats.ts'

/** What an administrator does about names that are one when they are compared. */
export const nameAdvice =
  'decide whose name it is: `mintmark db migrate --rename-user OLD=NEW` gives a user another one, and ' +
  '`--unverify-mail NAME` takes the mail address of a user for unverified; both may be given several times'

/** Why the database cannot be migrated. */
export function refuseNamesAlike({ pairs, count }: NamesAlike): ConfigError {
  const named = pairs.map(pair => pair.map(describeHeld).join(' and '))
  const more = count > pairs.length ? [`and ${(count - pairs.length).toLocaleString('en-US')} more`] : []
  return new ConfigError(
    'this version takes names that differ in case or width alone for one name, and a verified mail address for a ' +
      `name too, but these are of different users: ${[...named, ...more].join('; ')}. Nothing was migrated: ${nameAdvice}`,
  )
}

export function describeHeld({ username, kind }: HeldName): string {
  return kind === 'mail' ? `the mail address of ${printable(username)}` : printable(username)
}
