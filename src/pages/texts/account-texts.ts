import type { OwnClaim } from '../../account/profile.ts'
import type { Html } from '../html.ts'

/** The texts of the pages on which people see to their own accounts. */
export interface OwnAccountTexts {
  readonly heading: string
  readonly loggedInAs: (username: Html) => Html
  /** Back to the first of these pages. */
  readonly back: string
  readonly save: string
  readonly none: string
  /** Of a time. */
  readonly never: string
  readonly logOut: string
  readonly notices: Readonly<Record<AccountNotice, string>>
  readonly problems: Readonly<Record<AccountProblem, string>>
  readonly overview: OverviewTexts
  readonly profile: ProfileTexts
  readonly mail: MailChangeTexts
  readonly password: PasswordTexts
  readonly passkeys: PasskeysTexts
  readonly authenticator: AuthenticatorTexts
  readonly recoveryCodes: RecoveryCodesTexts
  readonly secondFactor: SecondFactorTexts
  readonly places: PlacesTexts
  readonly apps: AppsTexts
  readonly tokens: TokensTexts
}

/** What a page tells after something was done. */
export const accountNotices = [
  'profile_changed',
  'nothing_changed',
  'mail_changed',
  'password_changed',
  'passkey_added',
  'passkey_renamed',
  'passkey_removed',
  'totp_added',
  'totp_removed',
  'place_ended',
  'app_ended',
  'others_ended',
  'consent_withdrawn',
  'token_ended',
  'tokens_ended',
  'gone',
  'try_again',
] as const

export type AccountNotice = (typeof accountNotices)[number]

/** Why something was not done. */
export type AccountProblem =
  | 'wrong_fields'
  | 'mail_wrong'
  | 'mail_same'
  | 'mail_unavailable'
  | 'mail_throttled'
  | 'mail_taken'
  | 'mailed_code_wrong'
  | 'mailed_code_expired'
  | 'mailed_codes_throttled'
  | 'password_missing'
  | 'password_repeat'
  | 'password_short'
  | 'password_long'
  | 'password_characters'
  | 'password_common'
  | 'passkey_expired'
  | 'passkey_exists'
  | 'passkey_unverified'
  | 'passkey_too_many'
  | 'passkey_invalid'
  | 'passkey_name'
  | 'code_wrong'
  | 'code_clock_off'
  | 'code_expired'
  | 'code_missing'
  | 'totp_exists'
  | 'last_way_in'
  | 'factor_demanded'
  | 'token_name'
  | 'token_name_taken'
  | 'token_scope'
  | 'token_second_factor'
  | 'token_end'
  | 'token_api'
  | 'token_too_many'

export interface OverviewTexts {
  /** What is said of each page beside its title. */
  readonly passkeys: (count: number) => string
  readonly authenticatorOn: string
  readonly authenticatorOff: string
  readonly codesLeft: (count: number) => string
  readonly placesText: string
  readonly appsText: string
  readonly tokens: (count: number) => string
  readonly passwordText: string
  readonly noPassword: string
  readonly fewCodes: string
}

export interface ProfileTexts {
  readonly title: string
  readonly what: string
  readonly fields: Readonly<Record<OwnClaim, string>>
  /** What a field takes, where that is not plain. */
  readonly hints: Readonly<Partial<Record<OwnClaim, string>>>
  /** Of a field that is wrong and has no hint. */
  readonly wrong: string
  readonly anyLanguage: string
}

export interface MailChangeTexts {
  readonly title: string
  readonly present: (address: Html) => Html
  readonly noneYet: string
  readonly what: string
  readonly label: string
  readonly submit: string
  /** Until when the address of before counts. */
  readonly sent: string
  /** Leads back to where an address is entered. */
  readonly another: string
}

export interface PasswordTexts {
  readonly title: string
  readonly what: string
  /** Where there are any. */
  readonly endsTokens: string
  readonly label: string
  readonly hint: string
  readonly repeat: string
  readonly submit: string
}

export interface PasskeysTexts {
  readonly title: string
  readonly what: string
  readonly list: string
  readonly made: string
  readonly used: string
  readonly synced: string
  /** Of one that was made for another address. */
  readonly elsewhere: (rpId: Html) => Html
  /** Below the name of a passkey. */
  readonly change: string
  readonly add: string
  readonly noneHere: string
  readonly second: string
  readonly changeTitle: string
  readonly name: string
  readonly rename: string
  readonly remove: string
  readonly removeWhat: string
}

export interface AuthenticatorTexts {
  readonly title: string
  readonly what: string
  readonly scan: string
  readonly picture: string
  readonly type: string
  readonly secret: string
  readonly code: string
  readonly submit: string
  readonly isOn: string
  readonly since: string
  readonly used: string
  readonly remove: string
  readonly removeWhat: string
}

export interface RecoveryCodesTexts {
  readonly title: string
  readonly what: string
  readonly left: (count: number) => string
  readonly noFactor: string
  readonly make: string
  readonly makeWhat: string
  readonly newTitle: string
  readonly newWhat: string
  readonly list: string
  readonly keep: string
  readonly kept: string
}

export interface SecondFactorTexts {
  readonly title: string
  readonly what: (client: Html) => Html
  readonly byPasskey: string
  readonly byApp: string
  readonly appWhat: string
}

export interface PlacesTexts {
  readonly title: string
  readonly what: string
  readonly here: string
  /** What a browser is called: its name and the system's. */
  readonly browserOn: (browser: string, system: string) => string
  readonly unknownBrowser: string
  readonly since: string
  readonly used: string
  readonly address: string
  readonly firstAddress: string
  readonly appsOf: string
  readonly otherApps: string
  readonly otherAppsWhat: string
  /** Below the name of a browser or an app. */
  readonly end: string
  readonly endOthers: string
  readonly endOthersWhat: string
  /** Where there are any. */
  readonly endOthersTokens: string
  readonly noOthers: string
}

export interface AppsTexts {
  readonly title: string
  readonly what: string
  readonly nothing: string
  readonly since: string
  readonly may: string
  readonly withdrawShort: string
  readonly withdraw: (client: Html) => Html
}

export interface TokensTexts {
  readonly title: string
  readonly what: string
  /** Where no API takes any. */
  readonly off: string
  readonly noneYet: string
  readonly make: string
  readonly list: string
  readonly api: string
  readonly made: string
  readonly used: string
  readonly ends: string
  /** Of the time when it has ended. */
  readonly over: string
  readonly isOver: string
  readonly ofNoUse: string
  /** Below the name of a token. */
  readonly end: string
  readonly endAll: string
  readonly endAllWhat: string
  readonly newTitle: string
  readonly whichApi: string
  readonly newFor: (api: Html) => Html
  readonly name: string
  readonly nameHint: string
  readonly may: string
  /** Above the scopes that take a second factor. */
  readonly beyond: string
  readonly howLong: string
  readonly days: (count: number) => string
  readonly makeIt: string
  readonly madeTitle: string
  readonly madeWhat: string
  readonly ofName: (name: Html, api: Html) => Html
  readonly copy: string
  readonly keep: string
  readonly kept: string
}
