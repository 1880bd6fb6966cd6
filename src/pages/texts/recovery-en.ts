import { html } from '../html.ts'
import type { RecoveryTexts } from './recovery-texts.ts'

export const recoveryInEnglish: RecoveryTexts = {
  forgotten: 'Forgotten your password?',
  create: 'Create an account',
  backToLogIn: 'Back to the log-in',
  askReset: {
    title: 'Set a new password',
    text: 'We mail you a link with which you can set a new password.',
    label: 'User name or email address',
    submit: 'Send the link',
  },
  askSignUp: {
    title: 'Create an account',
    text: 'We mail you a link with which you choose your user name and your password.',
    label: 'Email address',
    submit: 'Send the link',
  },
  sent: {
    title: 'Look into your mail',
    reset:
      'If there is an account for what you have entered, and we know a mail address of it, a link is on its way there. It is good for 15 minutes.',
    signUp: 'A mail is on its way to the address that you have entered. Its link is good for a day.',
    nothing:
      'Nothing there after some minutes? Look into the folder for spam, and check what you have entered.',
    goOnReset: 'I have set my password: log in',
    goOnSignUp: 'I have created my account: log in',
  },
  newPassword: {
    title: 'Set a new password',
    titleFirst: 'Choose your password',
    username: 'User name',
    label: 'New password',
    advice: 'At least 8 characters. A few words that you have used nowhere else are easy to remember.',
    what: 'You will be logged out everywhere. How you log in otherwise, as with an authenticator app, stays as it is.',
    submit: 'Save the password',
  },
  newAccount: {
    title: 'Create your account',
    address: address => html`Your mail address is ${address}.`,
    username: 'User name',
    submit: 'Create the account',
  },
  verify: {
    title: 'Confirm your mail address',
    text: address => html`Does the address ${address} belong to you, and shall your account have it?`,
    username: 'Your user name',
    why: 'You are not logged in here. So that nobody gives your address to another account, enter the user name of yours.',
    submit: 'Confirm the address',
  },
  problems: {
    name_missing: 'Enter your user name or your email address.',
    mail_invalid: 'This is no email address. Check it, and try again.',
    password_missing: 'Enter a password.',
    password_refused:
      'This password cannot be used. It needs 8 characters at least, all of which can be typed.',
    password_common:
      'This password is easy to guess: many people use it, or it is little more than a name. Choose another one.',
    username_invalid:
      'This user name cannot be used. It takes up to 255 characters, none of them invisible, and no space at its ends.',
    username_is_address: 'A user name with an @ can only be your own mail address.',
    username_taken: 'Somebody has this user name already. Choose another one.',
    throttled: 'You have tried many names. Wait a few minutes, then try again.',
    wrong_username: 'This is not the user name of the account for which the address was entered.',
  },
}
