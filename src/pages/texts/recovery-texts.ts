import type { Html } from '../html.ts'

/** The texts of the pages for who has forgotten a password, or has no account yet, and of mailed links. */
export interface RecoveryTexts {
  /** On the page on which people log in. */
  readonly forgotten: string
  readonly create: string
  readonly backToLogIn: string
  readonly askReset: AskTexts
  readonly askSignUp: AskTexts
  readonly sent: SentTexts
  readonly newPassword: NewPasswordTexts
  readonly newAccount: NewAccountTexts
  readonly verify: VerifyTexts
  readonly problems: Readonly<Record<RecoveryProblem, string>>
}

export interface AskTexts {
  readonly title: string
  readonly text: string
  readonly label: string
  readonly submit: string
}

/** The same whether there is an account or not. */
export interface SentTexts {
  readonly title: string
  readonly reset: string
  readonly signUp: string
  /** Why a code is asked for, which is in the mail beside the link. */
  readonly otherDevice: string
  readonly code: string
  readonly submit: string
  /** What to do where no mail comes. */
  readonly nothing: string
  /** For who has come from an app, and has followed the link by now. */
  readonly goOnReset: string
  readonly goOnSignUp: string
}

export interface NewPasswordTexts {
  readonly title: string
  readonly titleFirst: string
  readonly username: string
  readonly label: string
  readonly advice: string
  /** What else happens: not for a first password. */
  readonly what: string
  readonly submit: string
}

export interface NewAccountTexts {
  readonly title: string
  readonly address: (address: Html) => Html
  readonly username: string
  readonly submit: string
}

export interface VerifyTexts {
  readonly title: string
  readonly text: (address: Html) => Html
  readonly username: string
  /** Why the user name is asked for. */
  readonly why: string
  readonly submit: string
}

/** Why a form is shown again. */
export type RecoveryProblem =
  | 'name_missing'
  | 'mail_invalid'
  | 'password_missing'
  | 'password_refused'
  | 'password_common'
  | 'username_invalid'
  | 'username_is_address'
  | 'username_taken'
  | 'throttled'
  | 'wrong_username'
  | 'code_wrong'
  | 'code_expired'
  | 'codes_throttled'
