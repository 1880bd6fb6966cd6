import type { MessageKind } from '../../src/pages/texts/texts.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { View } from '../../src/pages/pages.ts'
import { accountChoiceView } from '../../src/pages/views/account-choice.ts'
import { confirmDeviceView } from '../../src/pages/views/confirm-device.ts'
import { consentView, type ConsentData } from '../../src/pages/views/consent.ts'
import { deviceView } from '../../src/pages/views/device.ts'
import { formPostView } from '../../src/pages/views/form-post.ts'
import { logInView } from '../../src/pages/views/log-in.ts'
import { logOutView } from '../../src/pages/views/log-out.ts'
import { secondFactorStepView } from '../../src/pages/views/second-factor.ts'
import { messageView } from '../../src/pages/views/message.ts'
import { shownDetails as details } from './authorization-details.ts'
import { accountSamples } from './account-samples.ts'
import {
  askView,
  newAccountView,
  newPasswordView,
  sentView,
  verifyView,
} from '../../src/pages/views/recovery.ts'

/** What strangers and operators choose, as it comes into a page. */
export interface Names {
  readonly client: string
  readonly operator: string
  readonly username: string
  readonly scope: string
  readonly words: string
  /** The `state` of a request, and whatever else is sent and comes back. */
  readonly sent: string
}

export const plainNames: Names = {
  client: 'Orders',
  operator: 'Example Ltd',
  username: 'ada',
  scope: 'orders:write',
  words: 'Read your orders',
  sent: 'mm_ar_AQwfx4Jr0',
}

export const longNames: Names = {
  client: 'Donaudampfschifffahrtsgesellschaft Fahrplan & Reservierung für Geschäftskunden',
  operator: 'Erste Donau-Dampfschiffahrts-Gesellschaft mit beschränkter Haftung & Co. Kommanditgesellschaft',
  username: 'theodora.wolkenkratzer-unterschwaningen@verwaltung.landkreis-weissenburg.example',
  scope: 'https://api.donaudampfschifffahrt.example/reservierungen/geschaeftskunden.schreiben',
  words:
    'Reservierungen für alle Mitarbeiterinnen und Mitarbeiter Ihrer Firma ansehen, ändern und stornieren',
  sent: 'mm_ar_AQwfx4Jr0'.repeat(40),
}

function recoverySamples({ sent: request, username }: Names): readonly (readonly [string, View])[] {
  const plain = { request: null, typed: '', problem: null } as const
  const reset = { what: 'reset', ...plain } as const
  const signUp = { what: 'signUp', ...plain } as const
  const link = request
  const password = { link, username, isFirst: false, problem: null } as const
  const account = { link, address: username, username, problem: null } as const
  const verify = { link, address: username, asksName: false, username: '', problem: null } as const
  return [
    ['reset', frame => askView(frame, { ...reset, request, typed: username })],
    ['reset-missing', frame => askView(frame, { ...reset, problem: 'name_missing' })],
    ['reset-sent', frame => sentView(frame, { ...reset, request, waiting: request })],
    ['reset-code', frame => sentView(frame, { ...reset, request, waiting: request, problem: 'code_wrong' })],
    ['reset-password', frame => newPasswordView(frame, password)],
    [
      'reset-refused',
      frame => newPasswordView(frame, { ...password, isFirst: true, problem: 'password_refused' }),
    ],
    ['sign-up', frame => askView(frame, { ...signUp, request })],
    ['sign-up-wrong', frame => askView(frame, { ...signUp, typed: username, problem: 'mail_invalid' })],
    ['sign-up-sent', frame => sentView(frame, { ...signUp, waiting: request })],
    ['sign-up-account', frame => newAccountView(frame, account)],
    ['sign-up-taken', frame => newAccountView(frame, { ...account, problem: 'username_taken' })],
    ['sign-up-password', frame => newAccountView(frame, { ...account, problem: 'password_missing' })],
    ['verify', frame => verifyView(frame, verify)],
    [
      'verify-name',
      frame => verifyView(frame, { ...verify, asksName: true, username: 'eve', problem: 'wrong_username' }),
    ],
  ]
}

function deviceSamples(asked: ConsentData): readonly (readonly [string, View])[] {
  const confirm = {
    ...asked,
    userCode: 'BCD-FGH-JKL',
    askedAt: 1_900_000_000,
    zone: 'Europe/Berlin',
    address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
    isNear: false,
    isUnseen: false,
  }
  return [
    ['device', frame => deviceView(frame, { typed: '', problem: null })],
    ['device-wrong', frame => deviceView(frame, { typed: 'BCD-FGH', problem: 'wrong' })],
    [
      'device-throttled',
      frame => deviceView(frame, { typed: 'BCD-FGH-JKL', problem: 'throttled', retryAfter: 60 }),
    ],
    ['device-confirm', frame => confirmDeviceView(frame, confirm)],
    [
      'device-unseen',
      frame => confirmDeviceView(frame, { ...confirm, isNear: null, scopes: [], isUnseen: true }),
    ],
  ]
}

/** Every view in every state, under a name for it. */
export function viewSamples(names: Names = plainNames): ReadonlyMap<string, View> {
  const { sent: request, username } = names
  const client = {
    name: names.client,
    homeUri: 'https://orders.example/',
    operator: names.operator,
    stranger: null,
  }
  const bareClient = { name: names.client, homeUri: null, operator: null, stranger: null }
  const stranger = {
    host: 'app.example:8443',
    claimedName: names.client,
    goesTo: 'app.example',
    isProgram: false,
  }
  const anotherHref = '/log-in?request=mm_ar_2'
  const logIn = {
    request,
    client,
    passkey: { options: { challenge: 'mm_pkey_12', rpId: 'as.example' }, isAutofill: true, unknown: 'AAEC' },
    username: '',
    loggedInAs: null,
    anotherHref: null,
    stays: false,
    isForDevice: false,
    problem: null,
    resetHref: null,
    signUpHref: null,
  }
  const secondFactor = {
    request,
    username,
    anotherHref,
    takesCode: true,
    takesRecoveryCode: true,
    passkey: null,
    problem: null,
  }
  const scopes = [
    { name: 'openid', words: null },
    { name: 'email', words: null },
    { name: 'offline_access', words: null },
    { name: 'orders:read', words: names.words },
    { name: names.scope, words: null },
  ]
  return new Map<string, View>([
    ['log-in', frame => logInView(frame, logIn)],
    ['log-in-hinted', frame => logInView(frame, { ...logIn, client: bareClient, username, passkey: null })],
    ['log-in-unverified', frame => logInView(frame, { ...logIn, problem: 'passkey_unverified' })],
    ['log-in-wrong', frame => logInView(frame, { ...logIn, username, problem: 'wrong_credentials' })],
    ['log-in-missing', frame => logInView(frame, { ...logIn, problem: 'missing_credentials' })],
    [
      'log-in-throttled',
      frame => logInView(frame, { ...logIn, username, problem: 'throttled', retryAfter: 240 }),
    ],
    [
      'log-in-unavailable',
      frame => logInView(frame, { ...logIn, username, stays: true, problem: 'unavailable', retryAfter: 2 }),
    ],
    ['log-in-again', frame => logInView(frame, { ...logIn, username, loggedInAs: username, anotherHref })],
    [
      'log-in-other-ways',
      frame =>
        logInView(frame, {
          ...logIn,
          resetHref: `/reset?request=${request}`,
          signUpHref: `/sign-up?request=${request}`,
        }),
    ],
    ...recoverySamples(names),
    ['second-factor', frame => secondFactorStepView(frame, secondFactor)],
    [
      'second-factor-wrong',
      frame =>
        secondFactorStepView(frame, { ...secondFactor, problem: 'wrong_code', takesRecoveryCode: false }),
    ],
    [
      'second-factor-recovery',
      frame =>
        secondFactorStepView(frame, {
          ...secondFactor,
          takesCode: false,
          problem: 'throttled',
          retryAfter: 240,
        }),
    ],
    [
      'second-factor-none',
      frame =>
        secondFactorStepView(frame, {
          ...secondFactor,
          takesCode: false,
          takesRecoveryCode: false,
          passkey: null,
        }),
    ],
    ['consent', frame => consentView(frame, { request, client, username, anotherHref, scopes, details: [] })],
    [
      'consent-bare',
      frame =>
        consentView(frame, { request, client: bareClient, username, anotherHref, scopes: [], details: [] }),
    ],
    [
      'consent-stranger',
      frame =>
        consentView(frame, {
          request,
          client: { ...bareClient, stranger },
          username,
          anotherHref,
          scopes,
          details: [],
        }),
    ],
    [
      'consent-program',
      frame => {
        const program = { ...stranger, goesTo: '127.0.0.1:33418', isProgram: true }
        return consentView(frame, {
          request,
          client: { ...bareClient, stranger: program },
          username,
          anotherHref,
          scopes,
          details: [],
        })
      },
    ],
    [
      'consent-details',
      frame => consentView(frame, { request, client, username, anotherHref, scopes: [], details }),
    ],
    ...deviceSamples({ request, client, username, anotherHref, scopes, details: [] }),
    ['account-choice', frame => accountChoiceView(frame, { request, client, username, anotherHref })],
    ['log-out', frame => logOutView(frame, { request, client, username })],
    ['log-out-alone', frame => logOutView(frame, { request, client: null, username })],
    [
      'form-post',
      frame =>
        formPostView(frame, {
          clientName: names.client,
          uri: 'https://orders.example/callback',
          parameters: [
            ['code', 'mm_ac_1'],
            ['state', names.sent],
            ['iss', 'https://as.example'],
          ],
        }),
    ],
    ...accountSamples(names),
    ...messageKinds.map((kind): [string, View] => [
      `message-${kind}`,
      frame => messageView(frame, { kind, client, againHref: '/log-in?request=mm_ar_1' }),
    ]),
    [
      'message-with-detail',
      frame =>
        messageView(frame, {
          kind: 'malformed',
          detail: 'the body has too many parameters',
          retryAfter: 1,
        }),
    ],
  ])
}

const messageKinds = Object.keys(en.messages) as MessageKind[]
