import { html } from '../html.ts'
import { ownAccountInEnglish } from './account-en.ts'
import { deviceInEnglish } from './device-en.ts'
import { recoveryInEnglish } from './recovery-en.ts'
import type { MessageTexts, Texts } from './texts.ts'

const clientFault: MessageTexts = {
  heading: 'This app has made a mistake',
  text: 'We do not understand what the app has sent us, so you cannot log in to it now. Please tell the people who run it.',
}

export const en: Texts = {
  problem: 'Problem',
  requestId: 'Reference',
  forDevelopers: 'For the developers of the app',
  backTo: client => html`Back to ${client}`,
  again: 'Try again',
  beginHere: 'Log in in this browser',
  useAnother: 'Use another account',
  logIn: {
    title: 'Log in',
    heading: client => html`Log in to continue to ${client}`,
    headingAgain: 'Confirm that it is you',
    whyAgain: client => html`${client} asks you to log in once more.`,
    username: 'User name or email address',
    password: 'Password',
    stayLoggedIn: 'Keep me logged in on this device',
    stayInBrowser: 'Keep me logged in in this browser',
    cancel: 'Cancel',
    submit: 'Log in',
    problems: {
      wrong_credentials: 'The user name or the password is not right. Check both, and try again.',
      missing_credentials: 'Enter your user name and your password.',
      missing_code: 'Enter a code.',
      wrong_code:
        'The code is not right, or was used already. Wait for the next one that the app shows, and enter that.',
      wrong_recovery_code: 'The recovery code is not right, or was used already. Each works once.',
      second_step_expired: 'That took too long, or something has changed meanwhile. Log in once more.',
      passkey_expired: 'That took longer than five minutes. Use the passkey once more.',
      passkey_unknown: 'This passkey is not known here any more. Choose another one, or use your password.',
      passkey_unverified:
        'The passkey was used without a PIN, a fingerprint or the like, so we cannot tell who used it. Set a PIN for the ' +
        'security key, or use another passkey.',
      passkey_refused: 'The passkey was not accepted. Try again, or use your password.',
      throttled: 'There were too many attempts.',
      unavailable: 'Something is not working here right now. It is our fault, not yours.',
    },
  },
  passkey: {
    use: 'Log in with a passkey',
    notUsed: 'No passkey was used. Try again, or go on without one.',
    name: 'Name of the passkey',
    nameWhy: 'By which you tell it from others, like “Phone” or “Blue key”.',
    make: 'Set up a passkey',
    notMade: 'No passkey was set up. Try again, or choose another device.',
    present: 'This device has a passkey for your account already.',
    impossible: 'Passkeys need a newer browser, or one in which scripts are allowed.',
  },
  secondStep: {
    title: 'One more step',
    what: username => html`You are logging in as ${username}. Confirm in a second way that it is you.`,
    code: 'Code from your authenticator app',
    lost: 'Use a recovery code',
    recoveryCode: 'Recovery code',
    passkeyAlone: 'Use your passkey. It needs JavaScript, and a browser that knows passkeys.',
    none: 'None of what you have set up can be used at this address. Ask the people who run this site for help.',
  },
  consent: {
    title: 'Allow access',
    heading: client => html`${client} asks for access to your account`,
    operator: operator => html`This app is run by ${operator}.`,
    stranger: {
      belongsTo: host =>
        html`Nobody here has checked this app. All that is known is that it belongs to ${host}.`,
      registered: 'This app has registered itself. Nobody here has checked it, and it may have any name.',
      claims: name => html`It calls itself “${name}”.`,
      leadsTo: host => html`If you allow it, the access goes to ${host}.`,
      leadsToProgram: address =>
        html`If you allow it, the access goes to a program on this device (${address}). Allow it only if you have just started that program yourself.`,
    },
    loggedInAs: username => html`You are logged in as ${username}.`,
    list: 'If you allow it, the app may:',
    nothing: 'Know that you have logged in',
    scopes: {
      openid: 'Recognise you when you log in',
      profile: 'See your name and your profile',
      email: 'See your email address',
      address: 'See your postal address',
      phone: 'See your phone number',
      roles: 'See which roles you have',
      offline_access: 'Stay connected when you are not using it',
    },
    adminScopes: {
      'admin:read': 'See everything that administrators see here, as far as you may yourself',
      'admin:write': 'Administer this service for you, as far as you may yourself',
      'admin:users': 'See and change the users of this service, as far as you may yourself',
      'admin:users:read': 'See the users of this service, as far as you may yourself',
      'admin:sessions': 'See and end log-ins of all users, as far as you may yourself',
      'admin:sessions:read': 'See the log-ins of all users, as far as you may yourself',
      'admin:clients': 'See and change the apps of this service, as far as you may yourself',
      'admin:clients:read': 'See the apps of this service, as far as you may yourself',
      'admin:keys': 'See and change the keys of this service, as far as you may yourself',
      'admin:keys:read': 'See the keys of this service, as far as you may yourself',
    },
    details: {
      heading: 'Exactly this is asked for:',
      whose: 'What stands in boxes comes from the app. Allow it only if all of it is what you want.',
      locations: 'At',
      yes: 'yes',
      no: 'no',
      empty: 'nothing',
      lately: 'What you have allowed it exactly, the latest first:',
    },
    advice: 'Allow this only if you trust the app.',
    allow: 'Allow',
    deny: 'Do not allow',
  },
  device: deviceInEnglish,
  account: {
    title: 'Choose an account',
    heading: client => html`Which account do you want to use for ${client}?`,
    goOnAs: username => html`Continue as ${username}`,
  },
  ownAccount: ownAccountInEnglish,
  logOut: {
    title: 'Log out',
    heading: 'Do you want to log out?',
    loggedInAs: username => html`You are logged in as ${username}.`,
    what: 'You will be logged out here, and of the apps that you have opened with this log-in.',
    submit: 'Log out',
    stay: 'Stay logged in',
  },
  formPost: {
    title: 'One moment',
    heading: client => html`Taking you to ${client}`,
    what: 'If nothing happens, press the button.',
    submit: 'Continue',
  },
  recovery: recoveryInEnglish,
  messages: {
    request_expired: {
      heading: 'This page has expired',
      text: 'It was open for too long. Go back to the app, and log in from there again.',
    },
    request_invalid: {
      heading: 'This link does not work',
      text: 'It is incomplete, or has been changed. Go back to the app, and log in from there again.',
    },
    request_used: {
      heading: 'You have logged in with this page already',
      text: 'Each page is good for one log-in. Go back to the app: if it does not know you yet, log in from there again.',
    },
    other_browser: {
      heading: 'This log-in began elsewhere',
      text: 'It was begun in another browser, or in another tab at the same moment. You can begin it anew here. If somebody has sent you this link, close the page.',
    },
    cookies_refused: {
      heading: 'Your browser keeps no cookies of this site',
      text: 'Without them nobody can log in here. Allow cookies for this site, and try again.',
    },
    no_request: {
      heading: 'Open the app that you want to use',
      text: 'You log in here when an app sends you. Open the app, and choose to log in there.',
    },
    client_unknown: {
      heading: 'We do not know this app',
      text: 'The app that sent you here is not known to this server, so you cannot log in to it here. Please tell the people who run the app.',
    },
    client_document_refused: {
      heading: 'This app does not describe itself as it must',
      text: 'The app that sent you here is known by a document on its own website, and that cannot be used. Please tell the people who run the app.',
    },
    client_document_unreachable: {
      heading: 'The website of this app does not answer',
      text: 'We have to ask it what the app is, and could not reach it. Try again from the app. If it stays like this, tell the people who run it.',
    },
    apps_exceeded: {
      heading: 'Too many apps have access to your account',
      text: 'No more can get it. Take it from apps that you no longer use, on the page of your account, and try again from the app.',
    },
    redirect_uri_unregistered: {
      heading: 'This app cannot be opened from here',
      text: 'The app has given an address for the way back that is not registered for it. For your safety we do not send you there. Please tell the people who run the app.',
    },
    redirect_uri_missing: clientFault,
    address_repeated: clientFault,
    grant_missing: clientFault,
    log_out_invalid: {
      heading: 'We do not understand this request to log out',
      text: 'You are still logged in, if you were before. Go back to the app, and log out from there again.',
    },
    log_out_uri_unregistered: {
      heading: 'This app cannot log you out from here',
      text: 'The app has given an address for the way back that is not registered for it, so nothing was done. Please tell the people who run the app.',
    },
    malformed: {
      heading: 'We do not understand this request',
      text: 'Go back to the app, and try again from there.',
    },
    cross_site: {
      heading: 'This came from another site',
      text: 'For your safety we take entries only from our own pages. Go back to the app, and try again from there.',
    },
    throttled: {
      heading: 'Too many attempts',
      text: 'For your safety you have to wait a little.',
    },
    unavailable: {
      heading: 'Something is not working here right now',
      text: 'It is our fault, not yours, and nothing is lost. Wait a moment, then load this page again.',
    },
    logged_out: {
      heading: 'You are logged out',
      text: 'You can close this page now.',
    },
    still_logged_in: {
      heading: 'You are still logged in',
      text: 'You can close this page now.',
    },
    not_logged_in: {
      heading: 'You are not logged in',
      text: 'Log in to see your account.',
    },
    link_invalid: {
      heading: 'This link does not work',
      text: 'It is incomplete, or has been changed. Copy all of it from the email, or ask for a new one.',
    },
    link_expired: {
      heading: 'This link has expired',
      text: 'Ask for a new one.',
    },
    link_used: {
      heading: 'This link no longer works',
      text: 'It was used already, or your account has changed since it was sent. If you still need one, ask for a new one.',
    },
    mail_taken: {
      heading: 'This address has an account already',
      text: 'Log in with it. If you do not know its password, you can set another one.',
    },
    password_set: {
      heading: 'Your password is set',
      text: 'Go back to the app, or to the window in which you began, and log in with it.',
    },
    account_made: {
      heading: 'Your account is ready',
      text: 'Go back to the app, or to the window in which you began, and log in.',
    },
    address_confirmed: {
      heading: 'Your email address is confirmed',
      text: 'You can close this page now.',
    },
    device_connected: {
      heading: 'Go back to your device',
      text: 'It goes on by itself in a few seconds; if it does not within a minute, have it show a new code. You can close this page. In your account you can see the device among your apps, and log it out.',
    },
    device_denied: {
      heading: 'The device was not connected',
      text: 'You can close this page. If somebody has sent you the code, tell the people who run this site.',
    },
    device_answered: {
      heading: 'This code was used already',
      text: 'If it was you, go back to your device. If it was not, look in your account which apps are logged in, and log out what is not yours.',
    },
    device_expired: {
      heading: 'This code has expired',
      text: 'A code is good for ten minutes. Have your device show a new one, and enter that.',
    },
    not_offered: {
      heading: 'This is not offered here',
      text: 'If you need it, ask the people who run this site.',
    },
  },
  tryAgainIn: seconds => `Try again in ${inWords(seconds)}.`,
}

function inWords(seconds: number): string {
  const [count, unit] = seconds < 90 ? [seconds, 'second'] : [Math.ceil(seconds / 60), 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
