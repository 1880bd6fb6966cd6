import { html } from '../html.ts'
import type { RecoveryTexts } from './recovery-texts.ts'

export const recoveryInGerman: RecoveryTexts = {
  forgotten: 'Passwort vergessen?',
  create: 'Konto erstellen',
  backToLogIn: 'Zurück zur Anmeldung',
  askReset: {
    title: 'Neues Passwort setzen',
    text: 'Wir schicken Ihnen einen Link, mit dem Sie ein neues Passwort setzen können.',
    label: 'Benutzername oder E-Mail-Adresse',
    submit: 'Link schicken',
  },
  askSignUp: {
    title: 'Konto erstellen',
    text: 'Wir schicken Ihnen einen Link, mit dem Sie Benutzernamen und Passwort wählen.',
    label: 'E-Mail-Adresse',
    submit: 'Link schicken',
  },
  sent: {
    title: 'Sehen Sie in Ihr Postfach',
    reset:
      'Falls es zu Ihrer Eingabe ein Konto gibt und wir eine E-Mail-Adresse dazu kennen, ist ein Link dorthin unterwegs. Er gilt 15 Minuten.',
    signUp:
      'Eine E-Mail ist zu der Adresse unterwegs, die Sie eingegeben haben. Der Link darin gilt einen Tag.',
    otherDevice: 'Öffnen Sie den Link, oder geben Sie hier den Code aus der E-Mail ein.',
    code: 'Code aus der E-Mail',
    submit: 'Weiter',
    nothing:
      'Ist nach einigen Minuten nichts da? Sehen Sie im Spam-Ordner nach, und prüfen Sie Ihre Eingabe.',
    goOnReset: 'Passwort gesetzt? Anmelden',
    goOnSignUp: 'Konto erstellt? Anmelden',
  },
  newPassword: {
    title: 'Neues Passwort setzen',
    titleFirst: 'Passwort wählen',
    username: 'Benutzername',
    label: 'Neues Passwort',
    advice: 'Mindestens 8 Zeichen. Einige Wörter, die Sie nirgends sonst verwenden, sind leicht zu merken.',
    what: 'Sie werden überall abgemeldet. Ihre Passkeys und Ihre Authenticator-App bleiben, wie sie sind.',
    submit: 'Passwort speichern',
  },
  newAccount: {
    title: 'Konto erstellen',
    address: address => html`Ihre E-Mail-Adresse ist ${address}.`,
    username: 'Benutzername',
    submit: 'Konto erstellen',
  },
  verify: {
    title: 'Adresse bestätigen',
    text: address => html`Ist ${address} Ihre Adresse, und soll Ihr Konto sie verwenden?`,
    username: 'Ihr Benutzername',
    why: 'Sie sind hier nicht angemeldet. Geben Sie den Benutzernamen Ihres Kontos ein, damit Ihre Adresse nicht bei einem fremden Konto landet.',
    submit: 'Adresse bestätigen',
  },
  problems: {
    name_missing: 'Geben Sie Ihren Benutzernamen oder Ihre E-Mail-Adresse ein.',
    mail_invalid: 'Das ist keine E-Mail-Adresse. Prüfen Sie sie, und versuchen Sie es noch einmal.',
    password_missing: 'Geben Sie ein Passwort ein.',
    password_refused:
      'Dieses Passwort ist nicht möglich. Es braucht mindestens 8 Zeichen, die sich alle tippen lassen.',
    password_common:
      'Dieses Passwort ist leicht zu erraten: Viele benutzen es, oder es ist kaum mehr als ein Name. Wählen Sie ein anderes.',
    username_invalid:
      'Dieser Benutzername ist nicht möglich. Er hat bis zu 255 Zeichen, keine unsichtbaren, und kein Leerzeichen am Anfang oder Ende.',
    username_is_address: 'Ein Benutzername mit einem @ kann nur Ihre eigene E-Mail-Adresse sein.',
    username_taken: 'Diesen Benutzernamen hat schon jemand. Wählen Sie einen anderen.',
    throttled:
      'Sie haben viele Namen versucht. Warten Sie einige Minuten, und versuchen Sie es dann noch einmal.',
    code_wrong:
      'Dieser Code stimmt nicht. Falls Sie mehr als eine E-Mail angefordert haben, öffnen Sie den Link.',
    code_expired:
      'Dieser Code gilt hier nicht mehr. Öffnen Sie den Link in der E-Mail, oder fordern Sie eine neue an.',
    codes_throttled:
      'Es gab zu viele Versuche. Öffnen Sie den Link in der E-Mail, oder warten Sie zehn Minuten.',
    wrong_username: 'Das ist nicht der Benutzername des Kontos, für das die Adresse angegeben wurde.',
  },
}
