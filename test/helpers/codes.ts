import { randomBytes } from 'node:crypto'
import { sha256 } from '../../src/values/sha256.ts'
import { issueCode } from '../../src/authorization/code.ts'
import type { Config } from '../../src/config/load.ts'
import type { Context } from '../../src/context.ts'
import { plainRequest, type AuthorizationRequest } from '../../src/protocol/authorization-request.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import type { TestClient, TestUser } from './server.ts'

/** Where the clients of these tests are sent back to. */
export const redirectUri = 'https://app.example/callback'

/** What a client of these tests is registered as. */
export const forLogIns = {
  grant_types: 'authorization_code refresh_token',
  redirect_uris: redirectUri,
} as const

/** Where codes are made: a server, or something beside one that has its root key. */
export interface CodeMaker {
  readonly ctx: Pick<Context, 'db' | 'rootKeys' | 'clock'> & { readonly config: Pick<Config, 'issuer'> }
}

/** A sign-in of the user, as the log-in page leaves it. */
export interface TestSignIn {
  readonly id: Buffer
  readonly user_id: Buffer
  readonly user_epoch: number
  readonly auth_time: number
  readonly amr: string
  readonly expires_at: number
}

/** A code, and what its client sends with it. */
export interface TestCode {
  readonly code: string
  readonly sessionId: Buffer
  readonly signIn: TestSignIn
  /** All parameters of a good request but those of the client. */
  readonly form: Readonly<Record<string, string>>
}

/** Logs the user in, in a browser of its own. */
export async function signIn(
  { ctx }: CodeMaker,
  user: Pick<TestUser, 'id'>,
  changes: Partial<TestSignIn> = {},
): Promise<TestSignIn> {
  const now = ctx.clock.now()
  const { epoch } = await ctx.db.sql
    .selectFrom('users')
    .select('epoch')
    .where('id', '=', user.id)
    .executeTakeFirstOrThrow()
  const made = {
    id: newUuid(now),
    user_id: user.id,
    user_epoch: epoch,
    auth_time: now,
    amr: 'pwd',
    expires_at: now + 43_200,
    ...changes,
  }
  const more = {
    secret_hash: randomBytes(32),
    sign_in_epoch: 0,
    created_at: now,
    used_at: now,
    is_persistent: 0,
    first_address: '192.0.2.1',
    last_address: '192.0.2.1',
    user_agent: '',
  }
  await ctx.db.sql
    .insertInto('sign_ins')
    .values({ ...made, ...more })
    .execute()
  return made
}

export interface CodeWishes {
  readonly consentId?: Buffer | null
  readonly scope?: string
  readonly signIn?: TestSignIn
  readonly request?: Partial<AuthorizationRequest>
}

/** The code that the user's browser would bring to the client, of a request with PKCE. */
export async function codeFor(
  maker: CodeMaker,
  client: Pick<TestClient, 'id'>,
  user: Pick<TestUser, 'id'>,
  { scope = 'openid read', consentId = null, request: changes = {}, ...wishes }: CodeWishes = {},
): Promise<TestCode> {
  const { ctx } = maker
  const now = ctx.clock.now()
  const verifier = randomBytes(32).toString('base64url')
  const request: AuthorizationRequest = {
    ...plainRequest,
    sessionId: newUuid(now),
    clientId: client.id,
    redirectUri,
    nonce: 'n-0S6_WzA2Mj',
    scope,
    codeChallenge: sha256(verifier).toString('base64url'),
    madeAt: now,
    ...changes,
  }
  const row = await ctx.db.sql
    .selectFrom('clients')
    .select(['id', 'epoch'])
    .where('id', '=', client.id)
    .executeTakeFirstOrThrow()
  const known = wishes.signIn ?? (await signIn(maker, user))
  const code = issueCode(ctx, { request, logIn: known, signIn: known, user, client: row, scope, consentId })
  const form = {
    grant_type: 'authorization_code',
    code,
    redirect_uri: request.redirectUri,
    ...(request.codeChallenge !== null && { code_verifier: verifier }),
  }
  return { code, sessionId: request.sessionId, signIn: known, form }
}

/** The claims of a JWT. Does NOT check who has signed it. */
export function claimsOf(jwt: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())
}
