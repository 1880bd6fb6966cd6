import type { Database } from '../../db/database.ts'
import type { InstallationTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { Installation } from '../installation/open.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Actor } from '../record/actor.ts'
import type { Log } from '../record/log.ts'
import { openPasswords, type Passwords } from '../users/passwords.ts'

/*
 * How an act is written.
 *
 * This folder has what may be done by those who run the server, whoever asks: a command now, a program later. One file for
 * each noun, one function for each act. An act takes the `Admin` first and then plain arguments; it does its work in one
 * transaction together with its entry of the audit trail, and returns a plain object. What cannot be done is a `Refusal`.
 * It knows no terminal and no HTTP: how far a long work has come it tells a callback. The file of a noun also exports
 * `describe…`, which makes the noun's document from its row: `--json` prints exactly that.
 */

/** What the acts of an administrator are passed. */
export interface Admin {
  readonly config: Config
  readonly db: Database
  /** The row of the installation, as it was when the database was opened. */
  readonly installation: InstallationTable
  readonly rootKeys: RootKeys
  /** Hashes and verifies passwords, in a bounded pool. */
  readonly passwords: Passwords
  readonly clock: Clock
  readonly log: Log
  /** Who does it, for the audit trail. */
  readonly actor: Actor
}

export interface AdminOptions {
  readonly config: Config
  /** By the clock of the database. */
  readonly clock: Clock
  readonly log: Log
  readonly actor: Actor
}

/** What administers an installation that is open. */
export function adminOf({ db, rootKeys, record }: Installation, options: AdminOptions): Admin {
  const { pepperOf } = rootKeys
  const passwords = openPasswords({ pepperOf, currentRootKeyId: () => rootKeys.currentId })
  return { ...options, db, rootKeys, installation: record, passwords }
}
