/** All events of the audit trail in words, by what they are about. */
export const eventWords: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'thefts and refusals': {
    session_theft: 'A refresh token was used by two: its session ended',
    code_replayed: 'A code was used twice: its session ended',
    log_in_failed: 'A log-in was refused',
    log_in_throttled: 'Log-ins were refused: too many wrong ones',
    client_refused: 'A client was refused: it did not prove who it is',
    client_throttled: 'A client was refused: too many wrong tries',
    mailed_code_failed: 'A mailed code was wrong',
    mailed_code_throttled: 'Mailed codes were refused: too many wrong ones',
    passkey_counter_back: 'A passkey may have been copied',
  },
  'log-ins and sessions': {
    log_in: 'Logged in to an app',
    sign_in_started: 'Logged in in a browser',
    sign_in_renewed: 'Logged in again in a browser',
    sign_in_ended: 'Logged out in a browser',
    machine_session_started: 'A machine got a session',
    session_late: 'A refresh was tried again late',
    session_healed: 'A session went on after a lost answer',
    session_revoked: 'A session was ended',
    user_revoked: 'All sessions of a user were ended',
    client_revoked: 'All sessions of a client were ended',
    job_created: 'Ending many sessions was begun',
    job_stopped: 'Ending many sessions was stopped',
    consent_granted: 'An app was allowed something',
    consent_withdrawn: 'What an app was allowed was taken back',
  },
  users: {
    user_created: 'A user was added',
    users_imported: 'Users were imported',
    users_exported: 'An export of users began',
    users_export_ended: 'An export of users ended',
    user_changed: 'A user was changed',
    user_renamed: 'A user was renamed',
    user_password_changed: 'A password was changed',
    user_disabled: 'A user was disabled',
    user_enabled: 'A user was enabled',
    user_deleted: 'A user was deleted',
    group_created: 'A group was added',
    group_changed: 'A group was changed',
    group_deleted: 'A group was deleted',
    admin_recovered: 'A link that lets an administrator in was made on the host',
    link_mailed: 'A link was mailed',
    mail_refused: 'A mail was refused by its receiver',
    mail_failed: 'A mail could not be sent',
  },
  'ways to log in': {
    passkey_added: 'A passkey was added',
    passkey_renamed: 'A passkey was renamed',
    passkey_removed: 'A passkey was removed',
    totp_added: 'An authenticator app was added',
    totp_removed: 'An authenticator app was removed',
    recovery_codes_renewed: 'Recovery codes were made anew',
    recovery_codes_removed: 'Recovery codes were removed',
    recovery_code_used: 'A recovery code was used',
  },
  'clients, resources and claims': {
    client_created: 'A client was added',
    client_changed: 'A client was changed',
    client_secret_rotated: 'A client got a new secret',
    client_keys_set: 'A client got other keys',
    client_disabled: 'A client was disabled',
    client_enabled: 'A client was enabled',
    client_deleted: 'A client was deleted',
    delivery_refused: 'An app refused what it was told',
    delivery_given_up: 'An app could not be told for three days',
    receiver_paused: 'An app is told nothing more: it has failed for three days',
    resource_created: 'A resource was added',
    resource_changed: 'A resource was changed',
    resource_deleted: 'A resource was deleted',
    claim_created: 'A claim was added',
    claim_changed: 'A claim was changed',
    claim_deleted: 'A claim was deleted',
    stream_created: 'A stream of security events was added',
    stream_changed: 'A stream of security events was changed',
    stream_deleted: 'A stream of security events was deleted',
    stream_subject_added: 'A user was added to a stream',
    stream_subject_removed: 'A user was removed from a stream',
  },
  'keys and the server': {
    key_rotated: 'The next signing key signs',
    key_rotation_requested: 'A rotation of the signing keys was asked for',
    key_revoked: 'A signing key was revoked',
    all_keys_revoked: 'All signing keys were revoked',
    key_policy_changed: 'The key policy was changed',
    root_key_rotated: 'The root key was changed',
    issuer_changed: 'The issuer was changed',
    database_migrated: 'The database was upgraded',
    database_backed_up: 'The database was backed up',
    database_moved: 'The database was moved',
    database_restored: 'The database was restored from a backup',
  },
}

const all = Object.assign({}, ...Object.values(eventWords)) as Readonly<Record<string, string>>

/** What has happened, in words; a newer server's event by its name. */
export function textOfEvent(event: string): string {
  return all[event] ?? event.replaceAll('_', ' ')
}

const bad = Object.keys(eventWords['thefts and refusals'] ?? {}).slice(0, 2)

/** Whether somebody should look at it at once. */
export const isAlarm = (event: string) => bad.includes(event) || event === 'passkey_counter_back'
