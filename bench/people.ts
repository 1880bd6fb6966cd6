import { findClient } from '../db/clients/clients.ts'
import type { Database } from '../db/database.ts'
import { issueCode } from '../src/authorization/code.ts'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { openInstallation } from '../src/installation/open.ts'
import { plainRequest, type AuthorizationRequest } from '../src/protocol/authorization-request.ts'
import { hashSecret, newUuid } from '../src/protocol/secrets.ts'
import { sha256 } from '../src/values/sha256.ts'
import { headers } from './callers.ts'
import { clientSecret, redirectUri, resource, webClientId, type Mintmark } from './mintmark.ts'
import type { Child } from './processes.ts'

/** So many people have logged in. */
const peopleCount = 2000

const scope = 'openid profile email orders:read orders:write'
const verifier = 'v'.repeat(43)
const codeChallenge = sha256(verifier).toString('base64url')
const basic = `Basic ${Buffer.from(`${webClientId}:${clientSecret}`).toString('base64')}`

/** The headers of the client to which people log in. */
export const webHeaders = { ...headers, authorization: basic }

/** The token request for a code (RFC 6749 §4.1.3). */
export function redemption(code: string): string {
  return `grant_type=authorization_code&code=${code}&redirect_uri=${redirectUri}&code_verifier=${verifier}`
}

/** Somebody who is logged in. */
export interface Person {
  readonly id: Buffer
  readonly signInId: Buffer
}

/** Makes codes as the pages do, without the log-in that each would cost. */
export async function openCodes({ settings, url }: Mintmark): Promise<() => string> {
  const config = loadConfig(settings, '.')
  const clock = systemClock()
  const { db, rootKeys } = await openInstallation(config, clock, { mayCreate: false })
  const client = await findClient(db, webClientId)
  if (!client) throw new Error('unreachable: the client was made with the database')
  const people = await addPeople(db, clock.now())
  await db.close()
  const ctx = { config: { issuer: await issuerOf(url) }, rootKeys, clock }
  let next = 0
  return () => {
    const { id, signInId } = people[next++ % people.length] as Person
    const now = clock.now()
    const expires_at = now + config.signInSeconds
    return issueCode(ctx, {
      request: requestOf(now),
      logIn: { user_epoch: 0, auth_time: now, amr: 'pwd' },
      signIn: { id: signInId, expires_at },
      user: { id },
      client,
      scope,
      consentId: null,
    })
  }
}

/** The `issuer` of a server. */
export async function issuerOf(url: string): Promise<string> {
  const response = await fetch(`${url}/.well-known/oauth-authorization-server`)
  return String(Object(await response.json()).issuer)
}

function requestOf(now: number): AuthorizationRequest {
  return {
    ...plainRequest,
    sessionId: newUuid(now),
    clientId: webClientId,
    redirectUri,
    nonce: 'n-0S6_WzA2Mj',
    scope,
    resource,
    codeChallenge,
    madeAt: now,
  }
}

/** Adds people who are logged in. */
export async function addPeople(db: Database, now: number, name = 'person'): Promise<readonly Person[]> {
  const people = Array.from({ length: peopleCount }, () => ({ id: newUuid(now), signInId: newUuid(now) }))
  const claims = {
    name: 'Ada Lovelace',
    given_name: 'Ada',
    family_name: 'Lovelace',
    email: 'ada@example.com',
  }
  const user = { password_hash: '', root_key_id: '', roles: '', epoch: 0, created_at: now, disabled_at: null }
  const signIn = {
    user_epoch: 0,
    sign_in_epoch: 0,
    secret_hash: hashSecret('none'),
    auth_time: now,
    amr: 'pwd',
    created_at: now,
    used_at: now,
    expires_at: now + 86_400,
    is_persistent: 0,
    first_address: '127.0.0.1',
    last_address: '127.0.0.1',
    user_agent: '',
  }
  for (let i = 0; i < people.length; i += 500) {
    const some = people.slice(i, i + 500)
    const users = some.map(({ id }, j) => ({
      ...user,
      id,
      username: `${name}-${i + j}`,
      claims: JSON.stringify(claims),
      mail_epoch: 0,
      group_names: '',
    }))
    await db.sql.insertInto('users').values(users).execute()
    const signIns = some.map(({ id, signInId }) => ({ ...signIn, id: signInId, user_id: id }))
    await db.sql.insertInto('sign_ins').values(signIns).execute()
  }
  return people
}

/** An access token of somebody who has logged in with a browser. */
export async function personsToken({ url }: Mintmark, code: string): Promise<string> {
  const response = await fetch(`${url}/token`, {
    method: 'POST',
    headers: webHeaders,
    body: redemption(code),
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`/token answered ${response.status} ${text}`)
  return (JSON.parse(text) as { access_token: string }).access_token
}

/** The page on which people log in, as a browser gets it: its path, and the cookie that goes with it. */
export async function logInPage({
  url,
}: Pick<Child, 'url'>): Promise<{ readonly path: string; readonly cookie: string }> {
  const query = new URLSearchParams({
    client_id: webClientId,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope,
    state: 'af0ifjsldkj',
    nonce: 'n-0S6_WzA2Mj',
    code_challenge: codeChallenge,
    code_challenge_method: 'S256',
  })
  const response = await fetch(`${url}/authorize?${query}`, { redirect: 'manual' })
  const location = response.headers.get('location')
  if (location === null) throw new Error(`/authorize answered ${response.status} ${await response.text()}`)
  const { pathname, search } = new URL(location)
  const [cookie = ''] = (response.headers.getSetCookie()[0] ?? '').split(';')
  return { path: pathname + search, cookie }
}
