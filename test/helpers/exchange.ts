import type { Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { tokenExchange } from '../../src/protocol/grant-types.ts'
import { startServer, type FormInit, type TestClient } from './server.ts'

export const gateway = 'https://gateway.example'
export const orders = 'https://orders.example'
export const invoices = 'https://invoices.example'

export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
export const jwtType = 'urn:ietf:params:oauth:token-type:jwt'

/** The first parameters of an exchange. */
export const exchangeForm = (subject_token: string) => ({
  grant_type: tokenExchange,
  subject_token,
  subject_token_type: accessTokenType,
})

/**
 * An app whose users call a gateway, which calls an API for orders, which calls one for invoices. Each of the
 * three is the client of the same name too.
 */
export async function exchangeWorld(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  await server.resource(gateway, { scope: 'orders:read orders:write invoices:read email' })
  await server.resource(orders, {
    scope: 'orders:read orders:write invoices:read',
    access_token_seconds: 600,
  })
  await server.resource(invoices, { scope: 'invoices:read invoices:write' })
  const exchanger = (id: string, settings: Partial<ClientTable>) =>
    server.client(id, { grant_types: `client_credentials ${tokenExchange}`, ...settings })
  const scope = 'orders:read orders:write invoices:read invoices:write'
  const clients = {
    web: await server.client('web', {
      grant_types: 'password refresh_token authorization_code',
      resources: gateway,
      scope: 'orders:read orders:write invoices:read',
    }),
    gateway: await exchanger('gateway', {
      introspects: gateway,
      resources: `${orders} ${invoices}`,
      scope: 'orders:read invoices:read invoices:write',
    }),
    orders: await exchanger('orders', { introspects: orders, resources: `${invoices} ${orders}`, scope }),
    invoices: await exchanger('invoices', { introspects: invoices, resources: orders, scope }),
    stranger: await exchanger('stranger', { resources: `${gateway} ${orders}`, scope }),
  }
  const user = await server.user('ada', 'boss clerk\\https://orders.example')
  const post = (client: TestClient, form: FormInit, headers: Record<string, string> = {}) =>
    server.post('/token', form, { ...client.headers, ...headers })
  return {
    ...{ server, clients, user, exchanger },
    /** The access token with which the user calls the gateway. */
    call: async (more: Record<string, string> = {}) =>
      (await server.logIn(clients.web, user, more)).access_token,
    post,
    /** The answer of an exchange, whatever it is. */
    ask: (
      client: TestClient,
      token: string,
      more: Record<string, string> = {},
      headers: Record<string, string> = {},
    ) => post(client, { ...exchangeForm(token), ...more }, headers),
    /** The token of an exchange that goes well. */
    exchange: async (client: TestClient, token: string, more: Record<string, string> = {}) => {
      const response = await post(client, { ...exchangeForm(token), ...more })
      if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${response.body}`)
      return String(response.json().access_token)
    },
    /** A token of the client's own. */
    machine: async (client: TestClient, more: Record<string, string> = {}) => {
      const response = await post(client, { grant_type: 'client_credentials', ...more })
      return String(response.json().access_token)
    },
  }
}
