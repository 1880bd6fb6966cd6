import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { makeRootKeyFile, readRootKeyFile } from '../../keys/root/root-key-file.ts'
import { readRootKeys } from '../../keys/root/root-key.ts'
import { addForEveryServer, rotateRootKey } from '../../keys/root/root-rotation.ts'
import { formatCount } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { facts } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'

const rotation = `
Running servers follow by themselves, and nobody is logged out. Everything that is encrypted is encrypted anew, passwords are
hashed anew when their users log in, and refresh tokens move on when they are used. Until then the older keys stay in the
file; \`mintmark doctor\` says when they may go.

With PostgreSQL each machine may have a file of its own, so it takes two steps: the first run puts a new key on the first line
here; give every machine that serves the new file, and run it again, which takes the key up. Servers need no restart for either.

Where the file is mounted and cannot be written: put a new key on its first line, above the others, give every server the new
file, and run this; it then takes up what is on the first line.`

/**
 * The verbs of `mintmark key` for the root key, which everything secret is encrypted under or derived from.
 */
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
    .option('--yes', 'do not ask')
    .addHelpText('after', rotation)
    .action(
      command(terminal, async (run, { yes }) => {
        const admin = await run.open()
        const { db, rootKeys, config, installation } = admin
        const { rootKeyFile } = config
        if (db.engine === 'postgres') {
          const added = await addForEveryServer({ db, file: config }, installation.root_key_id)
          if (added !== undefined) return firstStep(rootKeyFile, installation.root_key_id, added)
          const [first = ''] = readRootKeyFile(config).keys()
          const question = `Take up the root key ${first}? A server whose file lacks it is not ready from then on.`
          await confirm(run, question, { yes })
        }
        const { from, to, wasInFile, resealed } = await rotateRootKey({ by: admin, rootKeys, file: config })
        run.log.info({ event: 'root_key_rotated', from, to, by: 'command' }, 'the root key was rotated')
        const told = {
          file: rootKeyFile,
          'new root key': `${to}${wasInFile ? ', which was on the first line' : ''}`,
          'root key before': `${from}, which stays in the file until \`mintmark doctor\` says that it may go`,
          'encrypted anew': formatCount(resealed, 'signing key'),
        }
        return {
          text: `Rotated the root key. Keep a copy of the file apart from the database's backups:\n${facts(told)}`,
          json: { file: rootKeyFile, from, to, signing_keys_resealed: resealed },
        }
      }),
    )
}

/** A server that met the new key in the database before it has it in its file could do nothing. */
function firstStep(file: string, currentId: string, addedId: string) {
  return {
    text: [
      'Step 1 of 2: put a new root key on the first line of the file. Nothing uses it yet.',
      facts({ file, 'new root key': addedId, 'root key now': currentId }),
      'Step 2: copy the file to every machine that serves, with its owner and mode, then run `mintmark key rotate-root` again. ' +
        'Where all of them read this very file, run it again at once.',
    ].join('\n'),
    json: { file, added: addedId, current: currentId },
  }
}
