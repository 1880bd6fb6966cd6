import type { InstallationTable } from '../../db/schema.ts'
import type { Config } from '../config/load.ts'
import type { Installation } from '../installation/open.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Recorder } from '../record/record.ts'
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

/** All that an act is passed: who does it, where it is told, and what it works with. */
export interface Admin extends Recorder {
  readonly config: Config
  /** The row of the installation, as it was when the database was opened. */
  readonly installation: InstallationTable
  readonly rootKeys: RootKeys
  /** Hashes and verifies passwords, in a bounded pool. */
  readonly passwords: Passwords
}

/** What administers an installation that is open. `clock` is that of its database. */
export function adminOf(
  { db, rootKeys, record: installation }: Installation,
  options: Pick<Admin, 'config' | 'clock' | 'log' | 'actor'>,
): Admin {
  const { pepperOf } = rootKeys
  const passwords = openPasswords({ pepperOf, currentRootKeyId: () => rootKeys.currentId })
  return { ...options, db, rootKeys, installation, passwords }
}
