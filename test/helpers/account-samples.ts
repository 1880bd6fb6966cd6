import type { SessionOfUser } from '../../db/sessions/of-user.ts'
import type { AccountProblem } from '../../src/pages/texts/account-texts.ts'
import { html } from '../../src/pages/html.ts'
import { ownForm, type Frame } from '../../src/pages/layout.ts'
import type { View } from '../../src/pages/pages.ts'
import { appsView } from '../../src/pages/views/account/apps.ts'
import { authenticatorView } from '../../src/pages/views/account/authenticator.ts'
import { mailSentView, mailView } from '../../src/pages/views/account/mail.ts'
import { overviewView } from '../../src/pages/views/account/overview.ts'
import type { AccountState } from '../../src/pages/views/account/parts.ts'
import { passkeyChangeView, passkeysView } from '../../src/pages/views/account/passkeys.ts'
import { passwordView } from '../../src/pages/views/account/password.ts'
import { placesView } from '../../src/pages/views/account/places.ts'
import { profileView } from '../../src/pages/views/account/profile.ts'
import { newRecoveryCodesView, recoveryCodesView } from '../../src/pages/views/account/recovery-codes.ts'
import { secondFactorView } from '../../src/pages/views/account/second-factor.ts'
import {
  newTokenView,
  tokenApisView,
  tokensView,
  tokenView,
  type ShownToken,
} from '../../src/pages/views/account/tokens.ts'
import { shownDetails as details } from './authorization-details.ts'
import type { Names } from './view-samples.ts'

const at = 1_900_000_000
const userAgent =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36'
const prepared = {
  secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP',
  uri: 'otpauth://totp/Example:ada?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example',
  sealed: 'mm_tp_1',
}

function tokenSamples(names: Names): readonly (readonly [name: string, view: View])[] {
  const state: AccountState = { notice: null, problem: null, zone: 'Europe/Berlin' }
  const failed = (problem: AccountProblem): AccountState => ({ ...state, problem })
  const read = { name: 'orders:read', words: names.words }
  const scopes = [read, { name: names.scope, words: null }]
  const resource = names.sent
  const times = { started_at: at, rotated_at: at, expires_at: at + 90 * 86_400 }
  const token = (id: number, more: Partial<ShownToken> = {}): ShownToken => ({
    id: Buffer.alloc(16, id),
    name: names.words,
    resource,
    ...times,
    scopes,
    isOver: false,
    isOfUse: true,
    ...more,
  })
  const tokens = [
    token(1),
    token(2, { rotated_at: at + 60, scopes: [] }),
    token(3, { isOfUse: false }),
    token(4, { isOver: true }),
  ]
  const list = { tokens, isFull: false, isOff: false }
  const form = {
    resource,
    name: '',
    scopes,
    scopesBeyond: [{ name: 'admin', words: null }],
    chosen: [],
    dayChoices: [7, 90, 365],
    days: 90,
  }
  const typed = { ...form, name: names.words, chosen: ['orders:read'], scopesBeyond: [] }
  return [
    ['account-tokens', frame => tokensView(frame, { ...state, notice: 'token_ended' }, list)],
    ['account-tokens-none', frame => tokensView(frame, state, { ...list, tokens: [] })],
    ['account-tokens-full', frame => tokensView(frame, state, { ...list, isFull: true })],
    [
      'account-tokens-off',
      frame =>
        tokensView(frame, failed('token_api'), {
          ...list,
          tokens: [token(3, { isOfUse: false })],
          isOff: true,
        }),
    ],
    [
      'account-token-apis',
      frame =>
        tokenApisView(frame, state, {
          uris: ['https://a.example', 'https://b.example'],
          path: '/account/tokens/new',
        }),
    ],
    ['account-token-new', frame => newTokenView(frame, state, form)],
    ['account-token-taken', frame => newTokenView(frame, failed('token_name_taken'), typed)],
    ['account-token-scope', frame => newTokenView(frame, failed('token_scope'), typed)],
    ['account-token-bare', frame => newTokenView(frame, state, { ...form, scopes: [], scopesBeyond: [] })],
    ['account-token', frame => tokenView(frame, state, { name: names.words, text: names.sent, resource })],
  ]
}

/** The views of an account in their states, under a name for each. */
export function accountSamples(names: Names): readonly (readonly [name: string, view: View])[] {
  const { client: clientName, username, operator } = names
  const state: AccountState = { notice: null, problem: null, zone: 'Europe/Berlin' }
  const failed = (problem: AccountProblem): AccountState => ({ ...state, problem })
  const overview = {
    username,
    name: operator,
    mail: null,
    hasPassword: true,
    passkeys: 2,
    hasTotp: true,
    recoveryCodes: 1,
    tokens: 2,
  }
  const profile = {
    profile: { name: operator, birthdate: '1815-12-10', locale: 'fr', 'address.street_address': names.sent },
    wrong: [],
    languages: [['en', 'English'] as const, ['de', 'Deutsch'] as const],
  }
  const rpId = 'as.example'
  const made = { synced: true, created_at: at, used_at: null }
  const passkey = { id: names.sent, name: names.words, rp_id: rpId, ...made }
  const elsewhere = { ...passkey, rp_id: 'old.example' }
  const setUp = (frame: Frame) =>
    ownForm(frame, '/account/passkeys', [], html`<button type="submit">Add</button>`)
  const app = (client_name: string | null, address: string | null): SessionOfUser => ({
    id: Buffer.alloc(16, 7),
    client_id: 'shop',
    client_name,
    rotated_at: at,
    auth_time: at,
    started_at: null,
    address,
    sign_in_id: null,
  })
  const place = (isHere: boolean, user_agent: string, first_address: string) => ({
    isHere,
    signIn: {
      id: Buffer.alloc(16, isHere ? 1 : 2),
      user_id: Buffer.alloc(16, 3),
      username,
      auth_time: at,
      amr: 'pwd',
      created_at: at,
      used_at: at + 90,
      expires_at: at + 900,
      is_persistent: 1,
      first_address,
      last_address: '2001:db8:85a3:1234:5678:8a2e:370:7334',
      user_agent,
    },
    apps: isHere ? [app(clientName, '192.0.2.1')] : [],
  })
  const here = place(true, userAgent, '192.0.2.1')
  const everywhere = {
    browsers: [here, place(false, '', '203.0.113.9')],
    apps: [app(null, null)],
    hasTokens: true,
  }
  const client = { name: clientName, homeUri: null }
  const scopes = [
    { name: 'email', words: null },
    { name: 'orders:read', words: names.words },
    { name: names.scope, words: null },
  ]
  const second = { request: names.sent, clientName, passkey: null, prepared, appHref: null }
  return [
    ['account', frame => overviewView(frame, { ...state, notice: 'profile_changed' }, overview)],
    [
      'account-bare',
      frame =>
        overviewView(frame, state, {
          ...overview,
          name: null,
          passkeys: null,
          recoveryCodes: null,
          tokens: null,
        }),
    ],
    ['account-profile', frame => profileView(frame, state, profile)],
    [
      'account-profile-wrong',
      frame =>
        profileView(frame, failed('wrong_fields'), { ...profile, wrong: ['name', 'birthdate', 'locale'] }),
    ],
    ['account-mail', frame => mailView(frame, state, { present: username, typed: '', isPossible: true })],
    [
      'account-mail-wrong',
      frame => mailView(frame, failed('mail_wrong'), { present: null, typed: names.sent, isPossible: true }),
    ],
    ['account-mail-sent', frame => mailSentView(frame, state, { waiting: names.sent })],
    [
      'account-mail-code-wrong',
      frame => mailSentView(frame, failed('mailed_code_wrong'), { waiting: names.sent }),
    ],
    ['account-mail-off', frame => mailView(frame, state, { present: null, typed: '', isPossible: false })],
    ['account-password', frame => passwordView(frame, state, { username, hasTokens: true })],
    [
      'account-password-wrong',
      frame => passwordView(frame, failed('password_short'), { username, hasTokens: false }),
    ],
    [
      'account-passkeys',
      frame =>
        passkeysView(frame, state, {
          passkeys: [passkey, elsewhere],
          rpId,
          setUp: setUp(frame),
          signal: null,
        }),
    ],
    [
      'account-passkeys-off',
      frame => passkeysView(frame, state, { passkeys: [], rpId, setUp: null, signal: null }),
    ],
    ['account-passkey', frame => passkeyChangeView(frame, state, { passkey, rpId, typed: names.words })],
    [
      'account-passkey-last',
      frame => passkeyChangeView(frame, failed('last_way_in'), { passkey, rpId, typed: names.words }),
    ],
    ['account-authenticator', frame => authenticatorView(frame, state, { present: null, prepared })],
    [
      'account-authenticator-wrong',
      frame => authenticatorView(frame, failed('code_clock_off'), { present: null, prepared }),
    ],
    [
      'account-authenticator-on',
      frame =>
        authenticatorView(frame, state, { present: { created_at: at, used_at: null }, prepared: null }),
    ],
    ['account-codes', frame => recoveryCodesView(frame, state, { left: 7 })],
    ['account-codes-none', frame => recoveryCodesView(frame, state, { left: null })],
    [
      'account-codes-new',
      frame =>
        newRecoveryCodesView(
          frame,
          { ...state, notice: 'totp_added' },
          { codes: Array.from({ length: 10 }, () => 'ABCD-EFGH-JKMN'), nextHref: '/account' },
        ),
    ],
    ['account-second-factor', frame => secondFactorView(frame, state, second)],
    [
      'account-second-factor-passkey',
      frame =>
        secondFactorView(frame, failed('passkey_expired'), {
          ...second,
          passkey: setUp(frame),
          prepared: null,
          appHref: '/account/second-factor?by=app&request=mm_ar_1',
        }),
    ],
    ...tokenSamples(names),
    ['account-places', frame => placesView(frame, state, everywhere)],
    [
      'account-places-here',
      frame => placesView(frame, state, { browsers: [here], apps: [], hasTokens: false }),
    ],
    [
      'account-apps',
      frame =>
        appsView(frame, state, { apps: [{ id: 'shop', client, operator, grantedAt: at, scopes, details }] }),
    ],
    ['account-apps-none', frame => appsView(frame, state, { apps: [] })],
  ]
}
