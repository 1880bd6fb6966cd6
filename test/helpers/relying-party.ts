import { randomBytes } from 'node:crypto'
import type { ClientTable } from '../../db/schema.ts'
import { sha256 } from '../../src/values/sha256.ts'
import type { Browser, Page } from './browser.ts'
import type { TestClient, TestServer, TestUser } from './server.ts'

/** A client that people log in to with a browser. */
export interface RelyingParty {
  readonly client: TestClient
  readonly redirectUri: string
  readonly homeUri: string
  /** Begins a log-in: the URL that the browser is sent to, and what is kept for its answer. */
  begin(more?: Readonly<Record<string, string>>): Begun
  /** Redeems the code with which a browser has come back. */
  redeem(begun: Begun, page: Page): Promise<Redeemed>
}

export interface Begun {
  readonly url: string
  readonly state: string
  readonly verifier: string
}

export interface Redeemed {
  readonly status: number
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token: string
  readonly error?: string
}

/** Adds one, with the code flow and refreshes; its user is asked for nothing unless told. */
export async function relyingParty(
  server: TestServer,
  id = 'web',
  settings: Partial<ClientTable> & { isPublic?: boolean } = {},
): Promise<RelyingParty> {
  const redirectUri = `https://${id}.example/callback`
  const homeUri = `https://${id}.example/`
  const client = await server.client(id, {
    grant_types: 'authorization_code refresh_token',
    redirect_uris: redirectUri,
    post_logout_redirect_uris: `https://${id}.example/bye`,
    client_uri: homeUri,
    client_name: `The ${id} app`,
    ...settings,
  })
  return {
    client,
    redirectUri,
    homeUri,
    begin: (more = {}) => {
      const verifier = randomBytes(32).toString('base64url')
      const state = randomBytes(8).toString('base64url')
      const parameters = {
        response_type: 'code',
        client_id: client.id,
        redirect_uri: redirectUri,
        scope: 'openid read',
        state,
        code_challenge: sha256(verifier).toString('base64url'),
        code_challenge_method: 'S256',
        ...more,
      }
      return { url: `/authorize?${new URLSearchParams(parameters)}`, state, verifier }
    },
    redeem: async ({ verifier }, page) => {
      const code = page.url.searchParams.get('code') ?? ''
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, ...client.form }
      const response = await server.post('/token', { redirect_uri: redirectUri, ...form })
      const answer: Omit<Redeemed, 'status'> = JSON.parse(response.body)
      return { ...answer, status: response.statusCode }
    },
  }
}

/** Opens the log-in page, types name and password, and sends them. */
export async function logInWith(
  browser: Browser,
  { url }: Pick<Begun, 'url'>,
  { username, password }: Pick<TestUser, 'username' | 'password'>,
  more: Readonly<Record<string, string>> = {},
): Promise<Page> {
  return browser.submit(await browser.open(url), { username, password, ...more })
}
