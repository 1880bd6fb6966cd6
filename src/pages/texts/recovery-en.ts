import { html } from '../html.ts'
import type { RecoveryTexts } from './recovery-texts.ts'

export const recoveryInEnglish: RecoveryTexts = {
  forgotten: 'Forgot your password?',
  create: 'Create an account',
  backToLogIn: 'Back to the log-in',
  askReset: {
    title: 'Set a new password',
    text: 'We send you a link with which you can set a new password.',
    label: 'User name or email address',
    submit: 'Send the link',
  },
  askSignUp: {
    title: 'Create an account',
    text: 'We send you a link with which you choose your user name and your password.',
    label: 'Email address',
    submit: 'Send the link',
  },
  sent: {
    title: 'Check your email',
    reset:
      'If there is an account for what you entered, and we know an email address for it, a link is on its way there. It works for 15 minutes.',
    signUp: 'An email is on its way to the address that you entered. Its link works for a day.',
    otherDevice: 'Open the link, or enter the code from the email here.',
    code: 'Code from the email',
    submit: 'Continue',
    nothing: 'Nothing there after a few minutes? Look in your spam folder, and check what you entered.',
    goOnReset: 'I have set my password: log in',
    goOnSignUp: 'I have created my account: log in',
  },
  newPassword: {
    title: 'Set a new password',
    titleFirst: 'Choose your password',
    username: 'User name',
    label: 'New password',
    advice: 'At least 8 characters. A few words that you use nowhere else are easy to remember.',
    what: 'You will be logged out everywhere. Your passkeys and your authenticator app stay as they are.',
    submit: 'Save the password',
  },
  newAccount: {
    title: 'Create your account',
    address: address => html`Your email address is ${address}.`,
    username: 'User name',
    submit: 'Create the account',
  },
  verify: {
    title: 'Confirm your email address',
    text: address => html`Is ${address} your address, and should your account use it?`,
    username: 'Your user name',
    why: 'You are not logged in here. Enter the user name of your account, so that your address cannot end up with another one.',
    submit: 'Confirm the address',
  },
  problems: {
    name_missing: 'Enter your user name or your email address.',
    mail_invalid: 'This is not an email address. Check it, and try again.',
    password_missing: 'Enter a password.',
    password_refused:
      'This password cannot be used. It needs 8 characters at least, all of which can be typed.',
    password_common:
      'This password is easy to guess: many people use it, or it is little more than a name. Choose another one.',
    username_invalid:
      'This user name cannot be used. It takes up to 255 characters, none of them invisible, and no space at its ends.',
    username_is_address: 'A user name with an @ can only be your own email address.',
    username_taken: 'Somebody has this user name already. Choose another one.',
    throttled: 'You have tried many names. Wait a few minutes, then try again.',
    code_wrong: 'This code is not right. If you have asked for more than one email, open the link instead.',
    code_expired: 'This code no longer works here. Use the link in the email, or ask for a new one.',
    codes_throttled: 'There were too many attempts. Use the link in the email, or wait ten minutes.',
    wrong_username: 'This is not the user name of the account for which the address was entered.',
  },
}
