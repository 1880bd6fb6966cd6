import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { makeRootKeyFile } from '../keys/root-key-file.ts'
import { readRootKeys } from '../keys/root-key.ts'
import { rotateRootKey } from '../keys/root-rotation.ts'
import { command, verb, type Terminal } from './command.ts'
import { CommandError } from './failures.ts'
import { counted, facts } from './output.ts'

const rotation = `
Running servers follow by themselves, and nobody is signed out. Everything that is encrypted is encrypted anew, passwords are
hashed anew when their users sign in, and refresh tokens move on when they are used. Until then the older keys stay in the
file; \`mintmark doctor\` says when they may go.

Where the file is mounted and cannot be written: put a new key on its first line, above the others, give every server the new
file, and run this; it then takes up what is on the first line.`

/** The verbs of `mintmark key` for the root key, which everything secret is encrypted under or derived from. */
export function rootKeyVerbs(key: CommandUnknownOpts, terminal: Terminal): void {
  verb(key, 'new-root', 'make a root key for a new installation', ['mintmark key new-root']).action(
    command(terminal, async ({ config }) => {
      const settings = config()
      const { rootKeyFile } = settings
      if (!makeRootKeyFile(rootKeyFile)) {
        throw new CommandError(
          `there is a root key at ${rootKeyFile} already, and it is never overwritten: \`mintmark key rotate-root\` adds one`,
        )
      }
      const { currentId } = readRootKeys(settings)
      return {
        text: `Made a root key. Keep a copy of it apart from the database's backups:\n${facts({ file: rootKeyFile, id: currentId })}`,
        json: { file: rootKeyFile, id: currentId },
      }
    }),
  )

  verb(key, 'rotate-root', 'put everything under a new root key, while servers run', [
    'mintmark key rotate-root',
  ])
    .addHelpText('after', rotation)
    .action(
      command(terminal, async run => {
        const { db, rootKeys, config } = await run.open()
        const { rootKeyFile } = config
        const { from, to, wasInFile, resealed } = await rotateRootKey({
          db,
          rootKeys,
          file: config,
          now: run.now,
          entry: run.entry,
        })
        run.log.info({ event: 'root_key_rotated', from, to, by: 'command' }, 'the root key was rotated')
        const told = {
          file: rootKeyFile,
          'new root key': `${to}${wasInFile ? ', which was on the first line' : ''}`,
          'root key before': `${from}, which stays in the file until \`mintmark doctor\` says that it may go`,
          'encrypted anew': counted(resealed, 'signing key'),
        }
        return {
          text: `Rotated the root key. Keep a copy of the file apart from the database's backups:\n${facts(told)}`,
          json: { file: rootKeyFile, from, to, signing_keys_resealed: resealed },
        }
      }),
    )
}
