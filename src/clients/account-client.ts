import type { Config } from '../config/load.ts'
import { plainClientRow } from './registration.ts'
import type { Client } from './registry.ts'

/** Of the account page, to which people log in without a client. No other has a space in its id. */
export const accountClientId = 'account page'

/** Below the issuer: all pages of the account begin with it. */
export const accountPath = '/account'

/** The account page as a client, as far as logging in needs one. No row is its, and no token. */
export function accountClient({ name, issuer }: Pick<Config, 'name' | 'issuer'>): Client {
  const names = { client_name: name, client_uri: issuer + accountPath }
  const row = plainClientRow({ id: accountClientId, created_at: 0, secret_hash: null, ...names })
  return { ...row, epoch: 0 }
}

/** Whether an address is one of the account's pages. */
export function isAccountAddress({ issuer }: Pick<Config, 'issuer'>, uri: string): boolean {
  const path = uri.startsWith(issuer) ? uri.slice(issuer.length) : ''
  return path === accountPath || path.startsWith(`${accountPath}/`) || path.startsWith(`${accountPath}?`)
}
