import type { InstallationTable } from '../../db/schema.ts'
import type { DatabaseClock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { openInstallation, type OpenOptions } from '../installation/open.ts'
import { askPulse } from '../installation/pulse.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { openMailServices, type MailServices } from '../mail/mail.ts'
import { mailsAreShown } from '../mail/shown.ts'
import type { Recorder } from '../record/record.ts'
import { openPasswords, type Passwords } from '../users/passwords.ts'

/*
 * How an act is written.
 *
 * This folder has the acts of those who run the server; a command asks for them now, a program may later.
 * One file for each noun, one function for each act. An act takes the `Admin` first and then plain
 * arguments; it does its work in one transaction together with its entry of the audit trail, and returns a
 * plain object. It throws a `Refusal` when it cannot be done. It knows no terminal and no HTTP: it tells a
 * callback how far a long work has come. The file of a noun also exports `describe…`, which makes the
 * noun's document from its row: `--json` prints exactly that.
 */

/** All that an act is passed: who does it, where it is told, and what it works with. */
export interface Admin extends Recorder {
  readonly config: Config
  readonly rootKeys: RootKeys
  /** Hashes and verifies passwords, in a bounded pool. */
  readonly passwords: Passwords
  /** Makes mails for the outbox; undefined where none can be sent. */
  readonly mail: MailServices | undefined
  /** Whether it may change nothing of administrators. */
  readonly isLimited?: boolean
  /** The ETag of the object that is changed, as it must still be; whatever it is, if undefined. */
  readonly precondition?: string | undefined
}

export interface AdminOptions extends Pick<Admin, 'config' | 'log' | 'actor'> {
  /** That of this machine; it is set to the database's. */
  readonly clock: DatabaseClock
}

/** For the few acts that are about the installation as a whole, and its key ring. */
export interface InstallationAdmin extends Admin {
  /** The row of the installation, as it was when the act began. */
  readonly installation: InstallationTable
}

/** As it was opened. */
export interface OpenAdmin extends InstallationAdmin {
  /** The migrations that ran on the way. */
  readonly migrated: readonly string[]
}

/**
 * Opens the installation for acts, whose statements may take as long as they like. Throws as
 * `openInstallation` does.
 */
export async function openAdmin(
  { clock, ...options }: AdminOptions,
  openOptions: Omit<OpenOptions, 'isPatient'>,
): Promise<OpenAdmin> {
  const opened = await openInstallation(options.config, clock, { ...openOptions, isPatient: true })
  const { db, rootKeys, record: installation, migrated } = opened
  try {
    await askPulse(db, clock)
  } catch (error) {
    await db.close()
    throw error
  }
  const { passwords } = openPasswords({ rootKeys })
  const { config } = options
  const isRead = config.smtp !== undefined || mailsAreShown(config)
  const mail = isRead ? openMailServices({ config, rootKeys, clock }) : undefined
  return { ...options, db, rootKeys, clock, installation, passwords, mail, migrated }
}
