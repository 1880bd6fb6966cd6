import { mailTime, quoted, type MailTexts } from './texts.ts'

const marks = ['“', '”'] as const

const factors = {
  passkey: 'a passkey',
  totp: 'the authenticator app',
  recovery_codes: 'the recovery codes',
  all: 'all passkeys, the authenticator app and the recovery codes',
} as const

const typed = (code: string) =>
  `Or, if you read this on another device, enter this code on the page that waits for it: ${code}\nTell it to nobody, whatever they say.`

export const en: MailTexts = {
  greeting: name => `Hello ${quoted(name, ['', ''])},`,
  when: time => `When: ${time}`,
  time: epochSeconds => mailTime('en-GB', epochSeconds),
  wasItYou: accountUrl =>
    `If it was you, there is nothing to do. If not, change your password and look through your account at once:\n${accountUrl}`,
  notices: {
    password_changed: () => ({
      subject: 'Your password was changed',
      text: 'The password of your account was changed. You are logged out wherever the old one was used.',
    }),
    password_reset: () => ({
      subject: 'Your password was reset',
      text: 'A new password was set for your account, with a link that we mailed to this address. You are logged out everywhere.',
    }),
    passkey_added: ({ name }) => ({
      subject: 'A passkey was added',
      text: `The passkey ${quoted(name, marks)} was added to your account. It can be used to log in.`,
    }),
    passkey_removed: ({ name }) => ({
      subject: 'A passkey was removed',
      text: `The passkey ${quoted(name, marks)} was removed from your account. It cannot be used to log in any more.`,
    }),
    totp_added: () => ({
      subject: 'An authenticator app was added',
      text: 'An authenticator app was added to your account. Logging in with your password takes a code of it from now on.',
    }),
    totp_removed: () => ({
      subject: 'The authenticator app was removed',
      text: 'The authenticator app was removed from your account. Its codes are of no use any more.',
    }),
    recovery_codes_renewed: () => ({
      subject: 'You have new recovery codes',
      text: 'New recovery codes were made for your account. Those from before are of no use any more.',
    }),
    recovery_code_used: ({ left }) => ({
      subject: 'A recovery code was used',
      text: `One of your recovery codes was used to log in. You have ${left === 0 ? 'none left: make new ones' : `${left} left`}.`,
    }),
    mail_changed: () => ({
      subject: 'Your email address was changed',
      text: 'Your account has another email address from now on. This is the last mail to this one.',
    }),
    name_changed: ({ username }) => ({
      subject: 'Your user name was changed',
      text: `The user name of your account is ${quoted(username, marks)} now.`,
    }),
    profile_changed: () => ({
      subject: 'Your details were changed',
      text: 'Details about you, which apps may learn, were changed in your account.',
    }),
    mail_change_asked: () => ({
      subject: 'Your email address is about to change',
      text: 'Another email address was entered in your account. It counts as soon as it is confirmed; until then this one does.',
    }),
    signed_out_place: () => ({
      subject: 'A browser or an app was logged out',
      text: 'A browser or an app in which you were logged in was logged out on the page of your account.',
    }),
    signed_out_others: () => ({
      subject: 'You were logged out elsewhere',
      text: 'Your account was logged out everywhere but in the browser in which that was asked for.',
    }),
    consent_withdrawn: ({ client }) => ({
      subject: 'An app has no access any more',
      text: `The app ${quoted(client, marks)} has no access to your account any more.`,
    }),
    device_connected: ({ client }) => ({
      subject: 'A device was connected to your account',
      text: `A device on which the app ${quoted(client, marks)} runs was connected to your account, by a code that was typed. If you have no such device in front of you, somebody may have sent you its code: log the app out on the page of your account.`,
    }),
    personal_access_token_created: ({ name }) => ({
      subject: 'A personal access token was made for your account',
      text: `The token ${quoted(name, marks)} was made. With it a program can call an API in your name until it ends, or you end it.`,
    }),
    personal_access_tokens_ended: ({ names }) => ({
      subject: 'Personal access tokens of your account were ended',
      text: `Nothing can be done any more with: ${names.map(name => quoted(name, marks)).join(', ')}. Programs that used them need new ones.`,
    }),
    second_factor_missing: () => ({
      subject: 'Somebody knows your password',
      text: 'Somebody has entered the right password of your account, but has not shown a second factor, such as a passkey or a code of your authenticator app. Nobody was logged in by it.',
    }),
    factor_removed_by_admin: ({ factor }) => ({
      subject: 'The administrator has changed how you log in',
      text: `The administrator has removed from your account: ${factors[factor]}.`,
    }),
  },
  links: {
    reset: ({ href, code, username }) => ({
      subject: 'Set a new password',
      text: `Somebody, perhaps you, has asked for a new password for the account ${quoted(username, marks)}. To set it, open this link within 15 minutes:\n\n${href}\n\n${typed(code)}\n\nIf it was not you, do nothing: your password stays as it is.`,
    }),
    invitation: ({ href, username, name }) => ({
      subject: `Your account at ${name}`,
      text: `An account was made for you. Your user name is ${quoted(username, marks)}. To choose your password, open this link within 7 days:\n\n${href}`,
    }),
    verification: ({ href, code }) => ({
      subject: 'Confirm your email address',
      text: `This address was entered for an account. If that was you, open this link within a day, and confirm it:\n\n${href}\n\n${typed(code)}\n\nIf it was not you, do nothing: the address does not count then.`,
    }),
    sign_up: ({ href, code }) => ({
      subject: 'Finish signing up',
      text: `Somebody, perhaps you, wants to sign up with this address. To choose a user name and a password, open this link within a day:\n\n${href}\n\n${typed(code)}\n\nIf it was not you, do nothing: there will be no account then.`,
    }),
    have_account: ({ href }) => ({
      subject: 'You have an account already',
      text: `Somebody, perhaps you, wanted to sign up with this address, which has an account already. Go back to the app, and log in. If you have forgotten your password, you can set another one here:\n\n${href}\n\nIf it was not you, there is nothing to do.`,
    }),
  },
  test: {
    subject: 'Test mail',
    text: 'This is a test mail. You can read it, so mails reach this address.',
  },
}
