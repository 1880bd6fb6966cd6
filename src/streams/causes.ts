/** Who has had something happen (CAEP 1.0 §2). */
type Initiator = 'admin' | 'user' | 'policy' | 'system'

/** Why something has happened, as its receivers are told. */
export interface Cause {
  /** Undefined where it may have been several. */
  readonly initiator?: Initiator
  /** A sentence for administrators. */
  readonly text: string
}

/** By the reason that the outbox has. A reason that is not here is told as it is. */
const causes: ReadonlyMap<string, Cause> = new Map<string, Cause>([
  ['client', { initiator: 'system', text: 'the application has ended the session' }],
  ['admin', { initiator: 'admin', text: 'an administrator has ended it' }],
  ['command', { initiator: 'admin', text: 'an administrator has ended it' }],
  ['theft', { initiator: 'policy', text: 'a refresh token was used by two' }],
  ['code used twice', { initiator: 'policy', text: 'an authorization code was used twice' }],
  ['limit', { initiator: 'policy', text: 'the user has more sessions than are allowed' }],
  ['log-out', { initiator: 'user', text: 'the user has logged out' }],
  ['ended by its user', { initiator: 'user', text: 'the user has ended it' }],
  ['another user logged in', { initiator: 'user', text: 'another user has logged in in the same browser' }],
  [
    'consent withdrawn',
    { initiator: 'user', text: 'the user has withdrawn what the application was allowed' },
  ],
  ['password changed', { text: 'the password was changed' }],
  ['credential changed', { text: 'a credential was changed' }],
  ['logged in again', { initiator: 'user', text: 'the user has logged in again' }],
  ['user disabled', { initiator: 'admin', text: 'the user was disabled' }],
  ['user enabled', { initiator: 'admin', text: 'the user was enabled' }],
  ['user deleted', { text: 'the user was deleted' }],
  ['client disabled', { initiator: 'admin', text: 'the application was disabled' }],
  ['client deleted', { initiator: 'admin', text: 'the application was deleted' }],
  ['keys revoked', { initiator: 'admin', text: 'all keys were revoked' }],
  ['issuer changed', { initiator: 'admin', text: 'the issuer was changed' }],
  ['copied', { initiator: 'admin', text: 'the installation was copied' }],
  ['restored', { initiator: 'admin', text: 'the installation was restored from a backup' }],
])

export function causeOf(reason: string): Cause {
  return causes.get(reason) ?? { text: reason }
}
