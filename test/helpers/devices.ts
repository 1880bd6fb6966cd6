import type { Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { deviceGrant } from '../../src/protocol/grant-types.ts'
import { openBrowser, type Browser, type Page } from './browser.ts'
import type { EngineEnv } from './engines.ts'
import { startServer, type TestClient, type TestServer, type TestUser } from './server.ts'

export { deviceGrant }

/** What /device_authorization answers (RFC 8628 §3.2). */
export interface DeviceAnswer {
  readonly device_code: string
  readonly user_code: string
  readonly verification_uri: string
  readonly verification_uri_complete: string
  readonly expires_in: number
  readonly interval: number
}

/** The columns of an app on devices. */
export const forDevices = {
  isPublic: true,
  grant_types: `${deviceGrant} refresh_token`,
  scope: 'read write',
  client_name: 'Television',
} as const

/** A server, a public app on devices, and a user. */
export async function deviceWorld(
  t: Test,
  env: EngineEnv = {},
  settings: Partial<ClientTable> & { isPublic?: boolean } = {},
): Promise<DeviceWorld> {
  const server = await startServer(t, env)
  await server.resource('https://api.example')
  const tv = await server.client('tv', { ...forDevices, resources: 'https://api.example', ...settings })
  const ada = await server.user('ada', 'staff')
  return { server, tv, ada, ...devicesOf(server, tv, ada) }
}

export interface DeviceWorld extends Devices {
  readonly server: TestServer
  readonly tv: TestClient
  readonly ada: TestUser
}

type Response = Awaited<ReturnType<TestServer['post']>>

export interface Devices {
  /** What is answered to a device that asks; throws where that is refused. */
  ask(form?: Readonly<Record<string, string>>): Promise<DeviceAnswer>
  /** Asks whether it was confirmed. */
  poll(
    asked: Pick<DeviceAnswer, 'device_code'>,
    as?: TestClient,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Response>
  /** Types the code in a browser, and logs in where that is asked for: the page that asks to confirm. */
  enter(asked: Pick<DeviceAnswer, 'user_code'>, browser?: Browser): Promise<Page>
  /** Confirms what `enter` has led to. */
  confirm(asked: Pick<DeviceAnswer, 'user_code'>, browser?: Browser): Promise<Page>
}

export function devicesOf(server: TestServer, client: TestClient, user: TestUser): Devices {
  const enter: Devices['enter'] = async ({ user_code }, browser = openBrowser(server)) => {
    const page = await browser.submit(await browser.open('/device'), { user_code })
    if (page.url.pathname !== '/log-in') return page
    return browser.submit(page, { username: user.username, password: user.password })
  }
  return {
    ask: async (form = {}) => {
      const response = await server.post('/device_authorization', { ...client.form, ...form })
      if (response.statusCode !== 200) throw new Error(response.body)
      return response.json()
    },
    poll: ({ device_code }, as = client, headers = {}) =>
      server.post('/token', { grant_type: deviceGrant, device_code, ...as.form }, headers),
    enter,
    confirm: async (asked, browser = openBrowser(server)) =>
      browser.submit(await enter(asked, browser), { seen: '1' }, { button: 'decision=allow' }),
  }
}
