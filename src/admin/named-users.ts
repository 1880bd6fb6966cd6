import { findUser, findUserById } from '../../db/users/users.ts'
import type { Database } from '../../db/database.ts'
import { administers } from '../protocol/admin-roles.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import type { TrustedSubject } from '../protocol/trusted-subjects.ts'
import { rolesNow } from '../users/roles.ts'

/**
 * Gives each subject its user by the `sub`, who may have been named by a name to log in with. `problems` says
 * why an issuer cannot name some of them. Users who were named before are left as they are, for they are
 * judged again with each assertion.
 */
export async function withUsers(
  db: Database,
  subjects: readonly TrustedSubject[],
  before: readonly TrustedSubject[] = [],
): Promise<{ readonly subjects: readonly TrustedSubject[]; readonly problems: readonly string[] }> {
  const subs = new Map<string, string>()
  const problems: string[] = []
  const known = new Set(before.map(({ user }) => user))
  for (const name of new Set(subjects.flatMap(({ user }) => user ?? []))) {
    if (known.has(name)) continue
    const id = parseUuid(name)
    const user = await (id ? findUserById(db, id) : findUser(db, name.normalize('NFC')))
    if (!user) problems.push(`there is no user ${name}`)
    else if (administers(await rolesNow(db, user)))
      problems.push(`the user ${name} administers, and no issuer can name who does`)
    else subs.set(name, formatUuid(user.id))
  }
  return {
    subjects: subjects.map(subject => ({ ...subject, user: subs.get(subject.user ?? '') ?? subject.user })),
    problems,
  }
}
