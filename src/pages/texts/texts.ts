import type { LogInProblem as ProblemOfRequest } from '../../authorization/requests.ts'
import type { AddressProblem } from '../../protocol/authorization-request.ts'
import type { Html } from '../html.ts'
import type { OwnAccountTexts } from './account-texts.ts'
import type { RecoveryTexts } from './recovery-texts.ts'

/** Every text of the pages. A language is one file that has them all; names are given as markup. */
export interface Texts {
  /** Before the title of a page that shows a problem. */
  readonly problem: string
  readonly requestId: string
  readonly forDevelopers: string
  readonly backTo: (client: Html) => Html
  readonly again: string
  /** Begins in this browser what was begun in another. */
  readonly beginHere: string
  readonly useAnother: string
  readonly logIn: LogInTexts
  readonly passkey: PasskeyTexts
  readonly secondStep: SecondStepTexts
  readonly consent: ConsentTexts
  readonly device: DeviceTexts
  readonly account: AccountTexts
  readonly ownAccount: OwnAccountTexts
  readonly logOut: LogOutTexts
  readonly formPost: FormPostTexts
  readonly recovery: RecoveryTexts
  readonly messages: Readonly<Record<MessageKind, MessageTexts>>
  /** A sentence: when to try again. */
  readonly tryAgainIn: (seconds: number) => string
}

export interface LogInTexts {
  readonly title: string
  readonly heading: (client: Html) => Html
  readonly headingAgain: string
  /** Why somebody who is logged in is asked again. */
  readonly whyAgain: (client: Html) => Html
  readonly username: string
  readonly password: string
  readonly stayLoggedIn: string
  /** The same while another device is being connected, which it does not mean. */
  readonly stayInBrowser: string
  /** Goes back to the client without a log-in. */
  readonly cancel: string
  readonly submit: string
  readonly problems: Readonly<Record<LogInProblem, string>>
}

/** Why the form to log in is shown again. The same whether there is such an account or not. */
export type LogInProblem = ProblemOfRequest | 'throttled' | 'unavailable'

/** One more factor, after a password. */
export interface SecondStepTexts {
  readonly title: string
  readonly what: (username: Html) => Html
  readonly code: string
  /** Opens the field for a recovery code. */
  readonly lost: string
  readonly recoveryCode: string
  /** Where a passkey is all that would do, and the page may run no scripts. */
  readonly passkeyAlone: string
  /** Where nothing that the person has would do here. */
  readonly none: string
}

export interface PasskeyTexts {
  /** The button to log in with one. */
  readonly use: string
  /** Nothing came of it. */
  readonly notUsed: string
  readonly name: string
  readonly nameWhy: string
  /** The button to set one up. */
  readonly make: string
  readonly notMade: string
  /** The device has one for this account already. */
  readonly present: string
  /** The browser has no passkeys, or runs no scripts. */
  readonly impossible: string
}

export interface ConsentTexts {
  readonly title: string
  readonly heading: (client: Html) => Html
  readonly operator: (operator: Html) => Html
  /** Of an app that no administrator has made. */
  readonly stranger: StrangerTexts
  readonly loggedInAs: (username: Html) => Html
  readonly list: string
  /** Where the scope gives nothing that is worth a line. */
  readonly nothing: string
  readonly scopes: Readonly<Record<DescribedScope, string>>
  /** Those of the admin API, where a token for it is asked for. */
  readonly adminScopes: Readonly<Record<string, string>>
  readonly details: DetailTexts
  readonly advice: string
  readonly allow: string
  readonly deny: string
}

/** Of what exactly is asked for (RFC 9396). */
export interface DetailTexts {
  readonly heading: string
  /** Who has written the values. */
  readonly whose: string
  /** Before the API that it is for. */
  readonly locations: string
  readonly yes: string
  readonly no: string
  /** A value in which there is nothing. */
  readonly empty: string
  /** Before those that were allowed lately. */
  readonly lately: string
}

export interface StrangerTexts {
  /** All that is known of it. */
  readonly belongsTo: (host: Html) => Html
  /** Of one of which nothing is known. */
  readonly registered: string
  readonly claims: (name: Html) => Html
  /** Where its access goes. */
  readonly leadsTo: (host: Html) => Html
  readonly leadsToProgram: (address: Html) => Html
}

/** Why the form for the code of a device is shown again. */
export type UserCodeProblem = 'wrong' | 'throttled'

/** Of the pages on which a person lets a device in. */
export interface DeviceTexts {
  readonly title: string
  readonly heading: string
  readonly what: string
  readonly code: string
  readonly submit: string
  readonly warning: string
  readonly problems: Readonly<Record<UserCodeProblem, string>>
  readonly confirmTitle: string
  readonly confirmHeading: string
  readonly confirmWhat: (client: Html) => Html
  readonly compare: string
  readonly asked: string
  readonly from: string
  readonly sameNetwork: string
  readonly otherNetwork: string
  readonly list: string
  readonly sentByOthers: string
  readonly sentByOthersWhat: string
  /** Beside the box that has to be ticked. */
  readonly seen: string
  /** Why it was not taken without that. */
  readonly unseen: string
  readonly allow: string
  readonly deny: string
  /** Leads to the page that takes a code. */
  readonly another: string
}

/** Scopes of OpenID Connect that have words of ours. */
export type DescribedScope = 'openid' | 'profile' | 'email' | 'address' | 'phone' | 'roles' | 'offline_access'

export interface AccountTexts {
  readonly title: string
  readonly heading: (client: Html) => Html
  readonly goOnAs: (username: Html) => Html
}

export interface LogOutTexts {
  readonly title: string
  readonly heading: string
  readonly loggedInAs: (username: Html) => Html
  readonly what: string
  readonly submit: string
  readonly stay: string
}

export interface FormPostTexts {
  readonly title: string
  readonly heading: (client: Html) => Html
  readonly what: string
  readonly submit: string
}

/** What a page that asks for nothing can say. */
export type MessageKind =
  | 'request_expired'
  | 'request_invalid'
  | 'request_used'
  | 'other_browser'
  | 'cookies_refused'
  | 'no_request'
  | 'client_unknown'
  | 'client_document_refused'
  | 'client_document_unreachable'
  | 'apps_exceeded'
  | AddressProblem
  | 'log_out_invalid'
  | 'log_out_uri_unregistered'
  | 'malformed'
  | 'cross_site'
  | 'throttled'
  | 'unavailable'
  | 'logged_out'
  | 'still_logged_in'
  | 'not_logged_in'
  | 'link_invalid'
  | 'link_expired'
  | 'link_used'
  | 'mail_taken'
  | 'password_set'
  | 'account_made'
  | 'address_confirmed'
  | 'not_offered'
  | 'device_connected'
  | 'device_denied'
  | 'device_answered'
  | 'device_expired'

export interface MessageTexts {
  readonly heading: string
  /** What has happened, and what to do. */
  readonly text: string
}
