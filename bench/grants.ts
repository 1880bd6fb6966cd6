import { tokenExchange } from '../src/protocol/grant-types.ts'
import {
  bareCallers,
  connections,
  each,
  freshToken,
  hasToken,
  headers,
  isActive,
  posting,
} from './callers.ts'
import { basicOf, deviceClientIds, gatewayClientId } from './clients.ts'
import { pushedForm } from './documents.ts'
import { deviceHeaders, openDevices, pollForm, type WaitingDevice } from './devices.ts'
import type { Caller, Outgoing } from './load.ts'
import { issuerOf } from './people.ts'
import { addPersonalTokens } from './personal-tokens.ts'
import { issueAssertion, issueByRsa, issuedForm } from './proofs.ts'
import type { Scenario, Servers } from './scenario.ts'

/*
 * The grants of machines, gateways and devices.
 */

const gatewayHeaders = { ...headers, authorization: basicOf(gatewayClientId) }

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

const exchangeForm = (token: string) =>
  `grant_type=${encodeURIComponent(tokenExchange)}&subject_token=${token}` +
  `&subject_token_type=${encodeURIComponent(accessTokenType)}&scope=orders:read`

/** Exchanges the token of a person, another one on each connection. */
async function exchanging({ mintmark: { url, refreshTokens } }: Servers): Promise<readonly Caller[]> {
  const own = refreshTokens.slice(5 * connections, 6 * connections)
  return Promise.all(
    own.map(async (refreshToken, i) => {
      const grant = `grant_type=refresh_token&refresh_token=${refreshToken}`
      const token = exchanged[i] ?? (await freshToken(url, grant))
      exchanged[i] = token
      return posting('/token', exchangeForm(token), hasToken, gatewayHeaders)
    }),
  )
}

const exchanged: string[] = []

/** Calls with a personal access token, another one on most connections: so many may one person have. */
const withPersonalTokens =
  (callerOf: (token: string) => Caller) =>
  async ({ mintmark }: Servers): Promise<readonly Caller[]> => {
    personalTokens ??= addPersonalTokens(mintmark, 40)
    const tokens = await personalTokens
    return each(i => callerOf(tokens[i % tokens.length] ?? ''))
  }

let personalTokens: ReturnType<typeof addPersonalTokens> | undefined

/** More than a server answers in a second, so that each is new when its turn comes. */
const perSecond = { devices: 6000, assertions: 4000 }

let addDevices: ReturnType<typeof openDevices> | undefined

/** What is sent once: devices that have not asked yet, assertions that were not used. */
const devices: WaitingDevice[] = []
const assertions: string[] = []
/** The same for the floor, which asks each once too. */
const ofFloor: string[] = []

/** Prepares a round, for which so many devices wait, or were approved. */
const prepareDevices = (isApproved: boolean) => async (servers: Servers, seconds: number) => {
  addDevices ??= openDevices(servers.mintmark)
  devices.splice(0, devices.length, ...(await (await addDevices)(seconds * perSecond.devices, isApproved)))
}

async function prepareAssertions({ mintmark }: Servers, seconds: number): Promise<void> {
  const issuer = await issuerOf(mintmark.url)
  assertions.length = 0
  while (assertions.length < seconds * perSecond.assertions) assertions.push(issueByRsa(issuer))
  ofFloor.splice(0, ofFloor.length, ...assertions)
}

/** Sends what is for each item, once; when there is none left, the run is over. */
const sendingEach = <Item>(
  nextItem: () => Item | undefined,
  requestOf: (item: Item) => Pick<Outgoing, 'headers' | 'body'>,
  isRight: (status: number, text: string) => boolean,
  path = '/token',
) =>
  each(() => ({
    next: () => {
      const item = nextItem()
      return item && { method: 'POST', path, ...requestOf(item) }
    },
    answered: (status, text) => {
      if (!isRight(status, text)) throw new Error(`${path} answered ${status} ${text}`)
    },
  }))

/** To the floor any text is a device that it has not seen. */
const askingFloor = (kind: 'waiting' | 'approved', isRight: typeof isGranted) => () => {
  let count = 0
  const next = () => ({
    clientId: deviceClientIds[0] ?? '',
    deviceCode: `${kind}${String(count++).padStart(90, '0')}`,
  })
  return sendingEach(next, requestOfDevice, isRight)
}

const isGranted = (status: number, text: string) => status === 200 && text.includes('"access_token"')
const isDeviceCode = (answer: Record<string, unknown>) => typeof answer['device_code'] === 'string'
const isPending = (status: number, text: string) => status === 400 && text.includes('authorization_pending')

const formHeaders = { 'content-type': 'application/x-www-form-urlencoded' }
const requestOfJob = (assertion: string) => ({ headers: formHeaders, body: issuedForm(assertion) })
const requestOfDevice = (device: WaitingDevice) => {
  return { headers: deviceHeaders(device.clientId), body: pollForm(device) }
}

export const grantScenarios: readonly (readonly [name: string, Scenario])[] = [
  [
    'jwt-bearer',
    {
      title: 'POST /token, jwt-bearer: an assertion of a trusted issuer by RS256 that counts once',
      prepare: prepareAssertions,
      callers: {
        mintmark: () => sendingEach(() => assertions.pop(), requestOfJob, isGranted),
        bare: bareCallers,
        floor: () => sendingEach(() => ofFloor.pop(), requestOfJob, isGranted),
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'jwt-bearer-es256',
    {
      title: 'The same by ES256, which takes several times as long to verify',
      callers: {
        mintmark: async ({ mintmark }) => {
          const issuer = await issuerOf(mintmark.url)
          return sendingEach(() => issueAssertion(issuer), requestOfJob, isGranted)
        },
        bare: bareCallers,
        floor: () => sendingEach(() => issueAssertion(''), requestOfJob, isGranted),
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'exchange',
    {
      title: "POST /token, token-exchange: a person's token for one of another API with fewer scopes",
      callers: { mintmark: exchanging, bare: bareCallers, floor: exchanging },
      goals: { bare: 0.15 },
    },
  ],
  [
    'personal-token',
    {
      title: 'POST /introspect of a personal access token',
      callers: {
        mintmark: withPersonalTokens(token => posting('/introspect', `token=${token}`, isActive)),
        bare: bareCallers,
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'personal-token-exchange',
    {
      title: 'POST /token, token-exchange: a personal access token for a JWT of another API',
      callers: {
        mintmark: withPersonalTokens(token =>
          posting('/token', exchangeForm(token), hasToken, gatewayHeaders),
        ),
        bare: bareCallers,
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'device-ask',
    {
      title: 'POST /device_authorization: durable',
      callers: {
        mintmark: () =>
          each(i => {
            const id = deviceClientIds[i % deviceClientIds.length] ?? ''
            return posting('/device_authorization', 'scope=orders:read', isDeviceCode, deviceHeaders(id))
          }),
        bare: bareCallers,
        floor: () => each(() => posting('/device_authorization', 'scope=orders:read', isDeviceCode)),
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'device-poll',
    {
      title: 'POST /token, device_code, while nobody has confirmed it: durable, each device in time',
      prepare: prepareDevices(false),
      callers: {
        mintmark: () => sendingEach(() => devices.pop(), requestOfDevice, isPending),
        bare: bareCallers,
        floor: askingFloor('waiting', isPending),
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'device-redeem',
    {
      title: 'POST /token, device_code, once it was confirmed: a session, durable, audited',
      prepare: prepareDevices(true),
      callers: {
        mintmark: () => sendingEach(() => devices.pop(), requestOfDevice, isGranted),
        bare: bareCallers,
        floor: askingFloor('approved', isGranted),
      },
      goals: { bare: 0.15 },
    },
  ],
  [
    'par-document',
    {
      title: 'POST /par by a client that is known by a document, which is in memory',
      callers: {
        mintmark: ({ mintmark: { documentClientId = '' } }) => {
          const form = pushedForm(documentClientId)
          const isPushed = (status: number, text: string) => status === 201 && text.includes('request_uri')
          return sendingEach(
            () => form,
            body => ({ headers: formHeaders, body }),
            isPushed,
            '/par',
          )
        },
        bare: bareCallers,
      },
      goals: { bare: 0.15 },
    },
  ],
]
