import type { NewClient } from '../../db/clients/clients.ts'
import type { Config } from '../config/load.ts'
import { plainClientRow } from './registration.ts'

/** Of the admin console. No other client can have it. */
export const consoleClientId = 'mintmark-console'

/** Where the console is, below the address of the admin API: all of its views begin with it. */
export const consolePath = '/console'

const hour = 3600

/** Where the console is; undefined where there is none. */
export function consoleUrl({
  adminApi,
  console,
  adminUrl,
}: Pick<Config, 'adminApi' | 'console' | 'adminUrl'>): string | undefined {
  return adminApi === 'on' && console === 'on' ? adminUrl + consolePath : undefined
}

/**
 * The console as a client: public, since it runs in a browser, with tokens that are bound to its key. They
 * are in its memory alone, so a session that is left behind by a reload ends soon.
 */
export function consoleClient({ adminUrl }: Pick<Config, 'adminUrl'>, now: number): NewClient {
  const home = adminUrl + consolePath
  return plainClientRow({
    id: consoleClientId,
    created_at: now,
    secret_hash: null,
    client_name: 'Admin console',
    client_uri: home,
    grant_types: 'authorization_code refresh_token',
    scope: 'admin:write',
    redirect_uris: home,
    post_logout_redirect_uris: home,
    cors_origins: new URL(adminUrl).origin,
    dpop_bound: 1,
    claims_in_id_token: 1,
    refresh_idle_seconds: hour,
    refresh_absolute_seconds: 12 * hour,
  })
}

/**
 * Whether an answer for the console goes where people type their passwords too, so that no other app can pass
 * for it.
 */
export function isConsoleAtIssuer({ issuer }: Pick<Config, 'issuer'>, redirectUri: string): boolean {
  return redirectUri === issuer + consolePath
}
