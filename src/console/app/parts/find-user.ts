import { api, documentOf, type User } from '../api/api.ts'
import { Problem } from '../api/problem.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The user of a name to log in with, of a confirmed mail address, or of a `sub`. Throws a `Problem` where
 * there is none: a name that only begins so is somebody else's.
 */
export async function findUser(name: string, signal: AbortSignal | null = null): Promise<User> {
  if (uuid.test(name))
    return documentOf(api.GET('/admin/v1/users/{sub}', { params: { path: { sub: name } }, signal }))
  const query = { search: name, limit: 200 }
  const { items } = await documentOf(api.GET('/admin/v1/users', { params: { query }, signal }))
  const found =
    items.find(({ username }) => isSame(username, name)) ??
    items.find(({ claims: { email } }) => typeof email === 'string' && isSame(email, name))
  if (found) return found
  const alike = items.slice(0, 3).map(({ username }) => username)
  const more =
    alike.length > 0 ? ` Names that begin so: ${alike.join(', ')}${items.length > 3 ? ', …' : ''}.` : ''
  throw new Problem({ status: 0, code: 'no_user', detail: `There is no user ${name}.${more}` })
}

/** As the server compares names, but for what is rare. */
function isSame(a: string, b: string): boolean {
  const [one, other] = [a, b].map(name => name.normalize('NFKC').toLowerCase())
  return one === other
}
