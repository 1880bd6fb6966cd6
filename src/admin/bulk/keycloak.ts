import { isObject } from '../../values/json.ts'

type Members = Readonly<Record<string, unknown>>

/** Whether it is a user as Keycloak exports one (UserRepresentation). */
export function isKeycloakUser(members: Members): boolean {
  return ['emailVerified', 'credentials', 'firstName', 'createdTimestamp'].some(name => name in members)
}

/**
 * The same user in the members that an import knows. What has no place here (attributes, groups, required
 * actions, second factors) is left out.
 */
export function fromKeycloak(user: Members): Members {
  const { id, username, email, emailVerified, firstName, lastName, enabled, createdTimestamp, realmRoles } =
    user
  const password = passwordOf(user['credentials'])
  const members = {
    sub: id,
    username,
    email,
    email_verified: email === undefined ? undefined : emailVerified,
    given_name: firstName,
    family_name: lastName,
    disabled: enabled === false ? true : undefined,
    created_at: typeof createdTimestamp === 'number' ? Math.floor(createdTimestamp / 1000) : undefined,
    roles: realmRoles,
    password_hash: password,
  }
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined && value !== null && value !== ''),
  )
}

/** The hash of the password, in the form in which others write it; undefined where there is none. */
function passwordOf(credentials: unknown): unknown {
  if (!Array.isArray(credentials)) return undefined
  const found = credentials.filter(isObject).find(({ type }) => type === 'password')
  if (!found) return undefined
  const [data, secret] = [parsed(found['credentialData']), parsed(found['secretData'])]
  const { algorithm, hashIterations: rounds, additionalParameters: more } = data
  const [salt, value] = [secret['salt'], secret['value']].map(text => (typeof text === 'string' ? text : ''))
  if (algorithm !== 'argon2') {
    const kind = algorithm === 'pbkdf2' ? 'pbkdf2-sha1' : String(algorithm)
    return `$${kind}$i=${String(rounds)}$${salt}$${value}`
  }
  const first = (name: string) => (isObject(more) && Array.isArray(more[name]) ? String(more[name][0]) : '')
  const version = first('version') === '1.0' ? 16 : 19
  const costs = `m=${first('memory')},t=${String(rounds)},p=${first('parallelism')}`
  return `$argon2${first('type')}$v=${version}$${costs}$${unpadded(salt)}$${unpadded(value)}`
}

/** Both are JSON in a text; an older export has objects. */
function parsed(value: unknown): Members {
  try {
    const object: unknown = typeof value === 'string' ? JSON.parse(value) : value
    return isObject(object) ? object : {}
  } catch {
    return {}
  }
}

function unpadded(base64: string | undefined): string {
  return (base64 ?? '').replace(/=+$/, '')
}
