import type { Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import type { DetailTypes } from '../../src/protocol/detail-types.ts'
import { deviceGrant } from '../../src/protocol/grant-types.ts'
import { openBrowser, type Browser, type Page } from './browser.ts'
import { logInWith, relyingParty, type Begun, type Redeemed } from './relying-party.ts'
import { startServer } from './server.ts'

export const bank = 'https://bank.example'

/** The types of an API of a bank. */
export const bankTypes: DetailTypes = {
  payment: {
    title: { en: 'Pay once from your account', de: 'Einmal von Ihrem Konto zahlen' },
    labels: { 'amount.value': { en: 'Amount', de: 'Betrag' }, to: { en: 'To', de: 'An' } },
    schema: {
      type: 'object',
      properties: {
        amount: {
          type: 'object',
          properties: {
            value: { type: 'string', minLength: 1, maxLength: 20 },
            currency: { type: 'string', enum: ['EUR', 'USD'] },
          },
          required: ['value', 'currency'],
          additionalProperties: false,
        },
        to: { type: 'string', maxLength: 200 },
      },
      required: ['amount', 'to'],
    },
  },
  account: { title: { en: 'See your accounts' }, schema: { type: 'object' } },
}

/** Ten euros, to whom it is told. */
export const pay = (to: string, more: object = {}) => ({
  type: 'payment',
  amount: { value: '10.00', currency: 'EUR' },
  to,
  ...more,
})

export const account = (more: object = {}) => ({ type: 'account', ...more })

/** Some as a page shows them: with lists, and what is not meant well. */
export const shownDetails = [
  { detail: pay('Grocer & sons', { locations: [bank] }), type: bankTypes['payment'] },
  {
    detail: account({
      months: [1, 2, 3],
      owners: [{ name: 'Ada Lovelace' }, { name: 'Allow\u202e: <b>nothing</b>' }],
      'odd name': [],
      isJoint: false,
      iban: 'DE00'.repeat(20),
      // Should push no value out of sight.
      ['aLongName'.repeat(20)]: 'A value',
    }),
    type: bankTypes['account'],
  },
  { detail: { type: 'gone' }, type: undefined },
]

/** A server with an API of a bank, an app that may ask for payments and accounts, and somebody to ask. */
export async function bankWorld(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  await server.resource(bank, { authorization_details_types: JSON.stringify(bankTypes) })
  const app = (id: string, settings: Partial<ClientTable> = {}) =>
    relyingParty(server, id, {
      grant_types: `authorization_code refresh_token client_credentials ${deviceGrant}`,
      resources: bank,
      authorization_details_types: 'payment account',
      ...settings,
    })
  const shop = await app('shop')
  const ada = await server.user()
  const browser = openBrowser(server)
  const begin = (details: unknown, more: Readonly<Record<string, string>> = {}) =>
    shop.begin({ authorization_details: JSON.stringify(details), ...more })
  /** The page that asks, after a log-in where that is needed. */
  const ask = async (begun: Begun, by: Browser = browser): Promise<Page> => {
    const page = await by.open(begun.url)
    return page.url.pathname === '/log-in' ? logInWith(by, begun, ada) : page
  }
  /** The tokens of what somebody is asked for and allows. */
  const grant = async (details: unknown, more: Readonly<Record<string, string>> = {}) => {
    const begun = begin(details, more)
    const back = await browser.submit(await ask(begun), {}, { button: 'decision=allow' })
    return (await shop.redeem(begun, back)) as Redeemed & { readonly authorization_details: unknown }
  }
  return { server, app, shop, ada, browser, begin, ask, grant }
}
