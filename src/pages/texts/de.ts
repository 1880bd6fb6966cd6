import { html } from '../html.ts'
import { ownAccountInGerman } from './account-de.ts'
import { deviceInGerman } from './device-de.ts'
import { recoveryInGerman } from './recovery-de.ts'
import type { MessageTexts, Texts } from './texts.ts'

const clientFault: MessageTexts = {
  heading: 'Diese App hat einen Fehler gemacht',
  text: 'Wir verstehen nicht, was die App uns geschickt hat. Deshalb können Sie sich jetzt nicht bei ihr anmelden. Sagen Sie es dem Betreiber der App.',
}

export const de: Texts = {
  problem: 'Problem',
  requestId: 'Kennung',
  forDevelopers: 'Für die Entwickler der App',
  backTo: client => html`Zurück zu ${client}`,
  again: 'Noch einmal versuchen',
  beginHere: 'In diesem Browser anmelden',
  useAnother: 'Anderes Konto verwenden',
  logIn: {
    title: 'Anmelden',
    heading: client => html`Anmelden und weiter zu ${client}`,
    headingAgain: 'Bestätigen Sie, dass Sie es sind',
    whyAgain: client => html`${client} bittet Sie, sich noch einmal anzumelden.`,
    username: 'Benutzername oder E-Mail-Adresse',
    password: 'Passwort',
    stayLoggedIn: 'Auf diesem Gerät angemeldet bleiben',
    stayInBrowser: 'In diesem Browser angemeldet bleiben',
    cancel: 'Abbrechen',
    submit: 'Anmelden',
    problems: {
      wrong_credentials:
        'Benutzername oder Passwort stimmt nicht. Prüfen Sie beides, und versuchen Sie es noch einmal.',
      missing_credentials: 'Geben Sie Ihren Benutzernamen und Ihr Passwort ein.',
      missing_code: 'Geben Sie einen Code ein.',
      wrong_code:
        'Der Code stimmt nicht oder wurde schon verwendet. Warten Sie auf den nächsten Code der App, und geben Sie ihn ein.',
      wrong_recovery_code:
        'Der Wiederherstellungscode stimmt nicht oder wurde schon verwendet. Jeder gilt nur einmal.',
      second_step_expired:
        'Das hat zu lange gedauert, oder inzwischen hat sich etwas geändert. Melden Sie sich noch einmal an.',
      passkey_expired: 'Das hat länger als fünf Minuten gedauert. Verwenden Sie den Passkey noch einmal.',
      passkey_unknown:
        'Dieser Passkey ist hier nicht mehr bekannt. Wählen Sie einen anderen, oder verwenden Sie Ihr Passwort.',
      passkey_unverified:
        'Der Passkey wurde ohne PIN, Fingerabdruck oder Ähnliches benutzt, daher wissen wir nicht, von wem. Richten Sie für ' +
        'den Sicherheitsschlüssel eine PIN ein, oder verwenden Sie einen anderen Passkey.',
      passkey_refused:
        'Der Passkey wurde nicht angenommen. Versuchen Sie es noch einmal, oder verwenden Sie Ihr Passwort.',
      throttled: 'Es gab zu viele Versuche.',
      unavailable: 'Hier funktioniert gerade etwas nicht. Es liegt an uns, nicht an Ihnen.',
    },
  },
  passkey: {
    use: 'Mit einem Passkey anmelden',
    notUsed:
      'Es wurde kein Passkey verwendet. Versuchen Sie es noch einmal, oder melden Sie sich ohne Passkey an.',
    name: 'Name des Passkeys',
    nameWhy: 'Damit Sie ihn von anderen unterscheiden, etwa „Telefon“ oder „Blauer Schlüssel“.',
    make: 'Passkey einrichten',
    notMade:
      'Es wurde kein Passkey eingerichtet. Versuchen Sie es noch einmal, oder nehmen Sie ein anderes Gerät.',
    present: 'Dieses Gerät hat schon einen Passkey für Ihr Konto.',
    impossible: 'Passkeys brauchen einen neueren Browser, oder einen, in dem Skripte erlaubt sind.',
  },
  secondStep: {
    title: 'Noch ein Schritt',
    what: username =>
      html`Sie melden sich als ${username} an. Bestätigen Sie noch auf einem zweiten Weg, dass Sie es sind.`,
    code: 'Code Ihrer Authenticator-App',
    lost: 'Wiederherstellungscode verwenden',
    recoveryCode: 'Wiederherstellungscode',
    passkeyAlone:
      'Verwenden Sie Ihren Passkey. Das braucht JavaScript und einen Browser, der Passkeys kennt.',
    none: 'Nichts von dem, was Sie eingerichtet haben, ist unter dieser Adresse zu gebrauchen. Bitten Sie die um Hilfe, die diese Seite betreiben.',
  },
  consent: {
    title: 'Zugriff erlauben',
    heading: client => html`${client} bittet um Zugriff auf Ihr Konto`,
    operator: operator => html`Betreiber dieser App: ${operator}.`,
    stranger: {
      belongsTo: host =>
        html`Niemand hier hat diese App geprüft. Bekannt ist nur, dass sie zu ${host} gehört.`,
      registered:
        'Diese App hat sich selbst eingetragen. Niemand hier hat sie geprüft, und sie kann jeden Namen haben.',
      claims: name => html`Sie nennt sich „${name}“.`,
      leadsTo: host => html`Wenn Sie es erlauben, geht der Zugriff an ${host}.`,
      leadsToProgram: address =>
        html`Wenn Sie es erlauben, geht der Zugriff an ein Programm auf diesem Gerät (${address}). Erlauben Sie es nur, wenn Sie dieses Programm gerade selbst gestartet haben.`,
    },
    loggedInAs: username => html`Sie sind als ${username} angemeldet.`,
    list: 'Wenn Sie es erlauben, darf die App:',
    nothing: 'Erfahren, dass Sie sich angemeldet haben',
    scopes: {
      openid: 'Sie beim Anmelden wiedererkennen',
      profile: 'Ihren Namen und Ihr Profil sehen',
      email: 'Ihre E-Mail-Adresse sehen',
      address: 'Ihre Postanschrift sehen',
      phone: 'Ihre Telefonnummer sehen',
      roles: 'Ihre Rollen sehen',
      offline_access: 'Verbunden bleiben, auch wenn Sie sie nicht benutzen',
    },
    adminScopes: {
      'admin:read': 'Alles sehen, was die Verwaltung hier sieht, soweit Sie selbst es dürfen',
      'admin:write': 'Diesen Dienst für Sie verwalten, soweit Sie selbst es dürfen',
      'admin:users': 'Die Benutzer dieses Dienstes sehen und ändern, soweit Sie selbst es dürfen',
      'admin:users:read': 'Die Benutzer dieses Dienstes sehen, soweit Sie selbst es dürfen',
      'admin:sessions': 'Anmeldungen aller Benutzer sehen und beenden, soweit Sie selbst es dürfen',
      'admin:sessions:read': 'Anmeldungen aller Benutzer sehen, soweit Sie selbst es dürfen',
      'admin:clients': 'Die Apps dieses Dienstes sehen und ändern, soweit Sie selbst es dürfen',
      'admin:clients:read': 'Die Apps dieses Dienstes sehen, soweit Sie selbst es dürfen',
      'admin:keys': 'Die Schlüssel dieses Dienstes sehen und ändern, soweit Sie selbst es dürfen',
      'admin:keys:read': 'Die Schlüssel dieses Dienstes sehen, soweit Sie selbst es dürfen',
    },
    details: {
      heading: 'Genau darum wird gebeten:',
      whose: 'Was in Kästchen steht, kommt von der App. Erlauben Sie es nur, wenn Sie alles davon so wollen.',
      locations: 'Bei',
      yes: 'ja',
      no: 'nein',
      empty: 'nichts',
      lately: 'Was Sie ihr genau erlaubt haben, das Neueste zuerst:',
    },
    advice: 'Erlauben Sie es nur, wenn Sie der App vertrauen.',
    allow: 'Erlauben',
    deny: 'Nicht erlauben',
  },
  device: deviceInGerman,
  account: {
    title: 'Konto wählen',
    heading: client => html`Mit welchem Konto möchten Sie ${client} verwenden?`,
    goOnAs: username => html`Weiter als ${username}`,
  },
  ownAccount: ownAccountInGerman,
  logOut: {
    title: 'Abmelden',
    heading: 'Möchten Sie sich abmelden?',
    loggedInAs: username => html`Sie sind als ${username} angemeldet.`,
    what: 'Sie werden hier abgemeldet, und auch in den Apps, die Sie mit dieser Anmeldung geöffnet haben.',
    submit: 'Abmelden',
    stay: 'Angemeldet bleiben',
  },
  formPost: {
    title: 'Einen Moment',
    heading: client => html`Sie werden zu ${client} weitergeleitet`,
    what: 'Falls nichts geschieht, wählen Sie „Weiter“.',
    submit: 'Weiter',
  },
  recovery: recoveryInGerman,
  messages: {
    request_expired: {
      heading: 'Diese Seite ist abgelaufen',
      text: 'Sie war zu lange geöffnet. Gehen Sie zurück zur App, und melden Sie sich von dort noch einmal an.',
    },
    request_invalid: {
      heading: 'Dieser Link funktioniert nicht',
      text: 'Er ist unvollständig oder wurde verändert. Gehen Sie zurück zur App, und melden Sie sich von dort noch einmal an.',
    },
    request_used: {
      heading: 'Sie haben sich mit dieser Seite schon angemeldet',
      text: 'Jede Seite gilt für eine Anmeldung. Gehen Sie zurück zur App: Falls sie Sie noch nicht kennt, melden Sie sich von dort noch einmal an.',
    },
    other_browser: {
      heading: 'Diese Anmeldung hat woanders begonnen',
      text: 'Sie wurde in einem anderen Browser begonnen, oder im selben Moment in einem anderen Tab. Sie können sie hier neu beginnen. Falls Ihnen jemand diesen Link geschickt hat, schließen Sie die Seite.',
    },
    cookies_refused: {
      heading: 'Ihr Browser behält keine Cookies dieser Website',
      text: 'Ohne sie kann sich hier niemand anmelden. Erlauben Sie Cookies für diese Website, und versuchen Sie es noch einmal.',
    },
    no_request: {
      heading: 'Öffnen Sie die App, die Sie verwenden möchten',
      text: 'Hier melden Sie sich an, wenn eine App Sie schickt. Öffnen Sie die App, und wählen Sie dort „Anmelden“.',
    },
    client_unknown: {
      heading: 'Wir kennen diese App nicht',
      text: 'Die App, die Sie hierher geschickt hat, ist diesem Server nicht bekannt. Deshalb können Sie sich hier nicht bei ihr anmelden. Sagen Sie es dem Betreiber der App.',
    },
    client_document_refused: {
      heading: 'Diese App beschreibt sich nicht so, wie sie muss',
      text: 'Die App, die Sie hierher geschickt hat, ist durch ein Dokument auf ihrer eigenen Website bekannt, und das ist nicht zu gebrauchen. Sagen Sie es dem Betreiber der App.',
    },
    client_document_unreachable: {
      heading: 'Die Website dieser App antwortet nicht',
      text: 'Wir müssen dort erfragen, was die App ist, und konnten sie nicht erreichen. Versuchen Sie es von der App aus noch einmal. Bleibt es so, sagen Sie es dem Betreiber der App.',
    },
    apps_exceeded: {
      heading: 'Zu viele Apps haben Zugriff auf Ihr Konto',
      text: 'Mehr können ihn nicht bekommen. Nehmen Sie ihn auf der Seite Ihres Kontos Apps weg, die Sie nicht mehr benutzen, und versuchen Sie es von der App aus noch einmal.',
    },
    redirect_uri_unregistered: {
      heading: 'Diese App kann von hier nicht geöffnet werden',
      text: 'Die App hat für den Rückweg eine Adresse genannt, die nicht für sie eingetragen ist. Zu Ihrer Sicherheit schicken wir Sie nicht dorthin. Sagen Sie es dem Betreiber der App.',
    },
    redirect_uri_missing: clientFault,
    address_repeated: clientFault,
    grant_missing: clientFault,
    log_out_invalid: {
      heading: 'Die Abmeldung hat nicht funktioniert',
      text: 'Falls Sie angemeldet waren, sind Sie es weiterhin. Gehen Sie zurück zur App, und melden Sie sich von dort noch einmal ab.',
    },
    log_out_uri_unregistered: {
      heading: 'Diese App kann Sie von hier nicht abmelden',
      text: 'Die App hat für den Rückweg eine Adresse genannt, die nicht für sie eingetragen ist. Deshalb ist nichts geschehen. Sagen Sie es dem Betreiber der App.',
    },
    malformed: {
      heading: 'Wir verstehen diese Anfrage nicht',
      text: 'Gehen Sie zurück zur App, und versuchen Sie es von dort noch einmal.',
    },
    cross_site: {
      heading: 'Das kam von einer anderen Website',
      text: 'Zu Ihrer Sicherheit nehmen wir Eingaben nur von unseren eigenen Seiten an. Gehen Sie zurück zur App, und versuchen Sie es von dort noch einmal.',
    },
    throttled: {
      heading: 'Zu viele Versuche',
      text: 'Zu Ihrer Sicherheit müssen Sie etwas warten.',
    },
    unavailable: {
      heading: 'Hier funktioniert gerade etwas nicht',
      text: 'Es liegt an uns, nicht an Ihnen, und es geht nichts verloren. Warten Sie einen Moment, und laden Sie diese Seite dann neu.',
    },
    logged_out: {
      heading: 'Sie sind abgemeldet',
      text: 'Sie können diese Seite jetzt schließen.',
    },
    still_logged_in: {
      heading: 'Sie sind weiterhin angemeldet',
      text: 'Sie können diese Seite jetzt schließen.',
    },
    not_logged_in: {
      heading: 'Sie sind nicht angemeldet',
      text: 'Ihr Konto können Sie erst nach einer Anmeldung sehen.',
    },
    link_invalid: {
      heading: 'Dieser Link funktioniert nicht',
      text: 'Er ist unvollständig oder wurde verändert. Kopieren Sie ihn ganz aus der E-Mail, oder fordern Sie einen neuen an.',
    },
    link_expired: {
      heading: 'Dieser Link ist abgelaufen',
      text: 'Fordern Sie einen neuen an.',
    },
    link_used: {
      heading: 'Dieser Link gilt nicht mehr',
      text: 'Er wurde schon benutzt, oder Ihr Konto hat sich geändert, seit er verschickt wurde. Falls Sie noch einen brauchen, fordern Sie einen neuen an.',
    },
    mail_taken: {
      heading: 'Zu dieser Adresse gibt es schon ein Konto',
      text: 'Melden Sie sich damit an. Falls Sie das Passwort nicht kennen, können Sie ein anderes setzen.',
    },
    password_set: {
      heading: 'Ihr Passwort ist gesetzt',
      text: 'Gehen Sie zurück zur App oder zu dem Fenster, in dem Sie begonnen haben, und melden Sie sich damit an.',
    },
    account_made: {
      heading: 'Ihr Konto ist erstellt',
      text: 'Gehen Sie zurück zur App oder zu dem Fenster, in dem Sie begonnen haben, und melden Sie sich an.',
    },
    address_confirmed: {
      heading: 'Ihre E-Mail-Adresse ist bestätigt',
      text: 'Sie können diese Seite jetzt schließen.',
    },
    device_connected: {
      heading: 'Gehen Sie zurück zu Ihrem Gerät',
      text: 'Dort geht es in wenigen Sekunden von selbst weiter; wenn nicht innerhalb einer Minute, lassen Sie es einen neuen Code zeigen. Sie können diese Seite schließen. In Ihrem Konto sehen Sie das Gerät bei Ihren Apps und können es dort abmelden.',
    },
    device_denied: {
      heading: 'Das Gerät wurde nicht verbunden',
      text: 'Sie können diese Seite schließen. Wenn Ihnen jemand den Code geschickt hat, sagen Sie es den Betreibern dieser Seite.',
    },
    device_answered: {
      heading: 'Dieser Code wurde schon verwendet',
      text: 'Wenn Sie das waren, gehen Sie zurück zu Ihrem Gerät. Wenn nicht, sehen Sie in Ihrem Konto nach, welche Apps angemeldet sind, und melden Sie ab, was nicht Ihres ist.',
    },
    device_expired: {
      heading: 'Dieser Code ist abgelaufen',
      text: 'Ein Code gilt zehn Minuten. Lassen Sie Ihr Gerät einen neuen zeigen und geben Sie den ein.',
    },
    not_offered: {
      heading: 'Das gibt es hier nicht',
      text: 'Falls Sie es brauchen, fragen Sie den Betreiber dieser Website.',
    },
  },
  tryAgainIn: seconds => `Versuchen Sie es in ${inWords(seconds)} noch einmal.`,
}

function inWords(seconds: number): string {
  if (seconds < 90) return seconds === 1 ? 'einer Sekunde' : `${seconds} Sekunden`
  return `${Math.ceil(seconds / 60)} Minuten`
}
