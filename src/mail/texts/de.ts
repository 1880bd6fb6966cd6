import { mailTime, quoted, type MailTexts } from './texts.ts'

const marks = ['„', '“'] as const

const factors = {
  passkey: 'einen Passkey',
  totp: 'die Authenticator-App',
  recovery_codes: 'die Wiederherstellungscodes',
  all: 'alle Passkeys, die Authenticator-App und die Wiederherstellungscodes',
} as const

const typed = (code: string) =>
  `Oder geben Sie, wenn Sie dies auf einem anderen Gerät lesen, auf der wartenden Seite diesen Code ein: ${code}\nSagen Sie ihn niemandem, was man Ihnen auch erzählt.`

export const de: MailTexts = {
  greeting: name => `Guten Tag ${quoted(name, ['', ''])},`,
  when: time => `Zeit: ${time}`,
  time: epochSeconds => mailTime('de-DE', epochSeconds),
  wasItYou: accountUrl =>
    `Wenn Sie das waren, müssen Sie nichts tun. Wenn nicht, ändern Sie sofort Ihr Passwort, und sehen Sie Ihr Konto durch:\n${accountUrl}`,
  notices: {
    password_changed: () => ({
      subject: 'Ihr Passwort wurde geändert',
      text: 'Das Passwort Ihres Kontos wurde geändert. Überall, wo das alte benutzt wurde, sind Sie jetzt abgemeldet.',
    }),
    password_reset: () => ({
      subject: 'Ihr Passwort wurde zurückgesetzt',
      text: 'Für Ihr Konto wurde ein neues Passwort gesetzt, mit einem Link, den wir an diese Adresse geschickt haben. Sie sind jetzt überall abgemeldet.',
    }),
    passkey_added: ({ name }) => ({
      subject: 'Ein Passkey wurde hinzugefügt',
      text: `Zu Ihrem Konto wurde der Passkey ${quoted(name, marks)} hinzugefügt. Damit kann man sich anmelden.`,
    }),
    passkey_removed: ({ name }) => ({
      subject: 'Ein Passkey wurde entfernt',
      text: `Aus Ihrem Konto wurde der Passkey ${quoted(name, marks)} entfernt. Damit kann man sich nicht mehr anmelden.`,
    }),
    totp_added: () => ({
      subject: 'Eine Authenticator-App wurde hinzugefügt',
      text: 'Zu Ihrem Konto wurde eine Authenticator-App hinzugefügt. Wer sich mit Ihrem Passwort anmeldet, braucht ab jetzt auch einen Code daraus.',
    }),
    totp_removed: () => ({
      subject: 'Die Authenticator-App wurde entfernt',
      text: 'Aus Ihrem Konto wurde die Authenticator-App entfernt. Ihre Codes gelten nicht mehr.',
    }),
    recovery_codes_renewed: () => ({
      subject: 'Sie haben neue Wiederherstellungscodes',
      text: 'Für Ihr Konto wurden neue Wiederherstellungscodes erstellt. Die bisherigen gelten nicht mehr.',
    }),
    recovery_code_used: ({ left }) => ({
      subject: 'Ein Wiederherstellungscode wurde benutzt',
      text: `Mit einem Ihrer Wiederherstellungscodes hat sich jemand angemeldet. ${left === 0 ? 'Es ist keiner mehr übrig: Erstellen Sie neue.' : `Es sind noch ${left} übrig.`}`,
    }),
    mail_changed: () => ({
      subject: 'Ihre E-Mail-Adresse wurde geändert',
      text: 'Ihr Konto hat ab jetzt eine andere E-Mail-Adresse. Dies ist die letzte Nachricht an diese hier.',
    }),
    name_changed: ({ username }) => ({
      subject: 'Ihr Benutzername wurde geändert',
      text: `Der Benutzername Ihres Kontos ist jetzt ${quoted(username, marks)}.`,
    }),
    profile_changed: () => ({
      subject: 'Ihre Angaben wurden geändert',
      text: 'Angaben zu Ihrer Person, die Apps von Ihnen erfahren können, wurden in Ihrem Konto geändert.',
    }),
    mail_change_asked: () => ({
      subject: 'Ihre E-Mail-Adresse soll sich ändern',
      text: 'In Ihrem Konto wurde eine andere E-Mail-Adresse eingetragen. Sie gilt, sobald sie bestätigt ist; bis dahin gilt diese hier.',
    }),
    signed_out_place: () => ({
      subject: 'Ein Browser oder eine App wurde abgemeldet',
      text: 'Ein Browser oder eine App, in denen Sie angemeldet waren, wurde auf der Seite Ihres Kontos abgemeldet.',
    }),
    signed_out_others: () => ({
      subject: 'Sie wurden anderswo abgemeldet',
      text: 'Ihr Konto wurde überall abgemeldet, außer in dem Browser, in dem das gewünscht wurde.',
    }),
    consent_withdrawn: ({ client }) => ({
      subject: 'Eine App hat keinen Zugriff mehr',
      text: `Die App ${quoted(client, marks)} hat keinen Zugriff mehr auf Ihr Konto.`,
    }),
    device_connected: ({ client }) => ({
      subject: 'Ein Gerät wurde mit Ihrem Konto verbunden',
      text: `Ein Gerät, auf dem die App ${quoted(client, marks)} läuft, wurde mit Ihrem Konto verbunden, durch einen Code, der eingegeben wurde. Wenn Sie kein solches Gerät vor sich haben, hat Ihnen vielleicht jemand den Code geschickt: Melden Sie die App dann auf der Seite Ihres Kontos ab.`,
    }),
    personal_access_token_created: ({ name }) => ({
      subject: 'Für Ihr Konto wurde ein persönliches Zugriffstoken erstellt',
      text: `Das Token ${quoted(name, marks)} wurde erstellt. Damit kann ein Programm in Ihrem Namen eine API aufrufen, bis es abläuft oder Sie es beenden.`,
    }),
    personal_access_tokens_ended: ({ names }) => ({
      subject: 'Persönliche Zugriffstoken Ihres Kontos wurden beendet',
      text: `Diese Token gelten nicht mehr: ${names.map(name => quoted(name, marks)).join(', ')}. Programme, die sie benutzt haben, brauchen neue.`,
    }),
    second_factor_missing: () => ({
      subject: 'Jemand kennt Ihr Passwort',
      text: 'Jemand hat das richtige Passwort Ihres Kontos eingegeben, aber keinen zweiten Faktor gezeigt, etwa einen Passkey oder einen Code Ihrer Authenticator-App. Angemeldet wurde dadurch niemand.',
    }),
    factor_removed_by_admin: ({ factor }) => ({
      subject: 'Der Administrator hat geändert, wie Sie sich anmelden',
      text: `Der Administrator hat aus Ihrem Konto entfernt: ${factors[factor]}.`,
    }),
  },
  links: {
    reset: ({ href, code, username }) => ({
      subject: 'Neues Passwort setzen',
      text: `Jemand, vielleicht Sie, möchte für das Konto ${quoted(username, marks)} ein neues Passwort. Um es zu setzen, öffnen Sie innerhalb von 15 Minuten diesen Link:\n\n${href}\n\n${typed(code)}\n\nWenn Sie das nicht waren, müssen Sie nichts tun: Ihr Passwort bleibt, wie es ist.`,
    }),
    invitation: ({ href, username, name }) => ({
      subject: `Ihr Konto bei ${name}`,
      text: `Für Sie wurde ein Konto angelegt. Ihr Benutzername ist ${quoted(username, marks)}. Um Ihr Passwort zu wählen, öffnen Sie innerhalb von 7 Tagen diesen Link:\n\n${href}`,
    }),
    verification: ({ href, code }) => ({
      subject: 'Bestätigen Sie Ihre E-Mail-Adresse',
      text: `Diese Adresse wurde für ein Konto angegeben. Wenn Sie das waren, öffnen Sie innerhalb eines Tages diesen Link, und bestätigen Sie es:\n\n${href}\n\n${typed(code)}\n\nWenn Sie das nicht waren, müssen Sie nichts tun: Die Adresse gilt dann nicht.`,
    }),
    sign_up: ({ href, code }) => ({
      subject: 'Registrierung abschließen',
      text: `Jemand, vielleicht Sie, möchte sich mit dieser Adresse registrieren. Um Benutzernamen und Passwort zu wählen, öffnen Sie innerhalb eines Tages diesen Link:\n\n${href}\n\n${typed(code)}\n\nWenn Sie das nicht waren, müssen Sie nichts tun: Es wird dann kein Konto angelegt.`,
    }),
    have_account: ({ href }) => ({
      subject: 'Sie haben schon ein Konto',
      text: `Jemand, vielleicht Sie, wollte sich mit dieser Adresse registrieren, zu der es schon ein Konto gibt. Gehen Sie zurück zur App, und melden Sie sich an. Wenn Sie Ihr Passwort vergessen haben, können Sie hier ein anderes setzen:\n\n${href}\n\nWenn Sie das nicht waren, müssen Sie nichts tun.`,
    }),
  },
  test: {
    subject: 'Testnachricht',
    text: 'Das ist eine Testnachricht. Sie können sie lesen, also kommen E-Mails bei dieser Adresse an.',
  },
}
