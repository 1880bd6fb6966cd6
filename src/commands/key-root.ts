import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { makeRootKeyFile } from '../keys/root-key-file.ts'
import { readRootKeys } from '../keys/root-key.ts'
import { command, verb, type Terminal } from './command.ts'
import { CommandError } from './failures.ts'
import { facts } from './output.ts'

/** The verbs of `mintmark key` for the root key, which everything secret is encrypted under or derived from. */
export function rootKeyVerbs(key: CommandUnknownOpts, terminal: Terminal): void {
  verb(key, 'new-root', 'make a root key for a new installation', ['mintmark key new-root']).action(
    command(terminal, async ({ config }) => {
      const settings = config()
      const { rootKeyFile } = settings
      if (!makeRootKeyFile(rootKeyFile)) {
        throw new CommandError(`there is a root key at ${rootKeyFile} already, and it is never overwritten`)
      }
      const { currentId } = readRootKeys(settings)
      return {
        text: `Made a root key. Keep a copy of it apart from the database's backups:\n${facts({ file: rootKeyFile, id: currentId })}`,
        json: { file: rootKeyFile, id: currentId },
      }
    }),
  )
}
