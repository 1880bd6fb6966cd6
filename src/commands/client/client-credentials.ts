import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { rotateClientSecret, setClientKeys } from '../../../db/clients/clients.ts'
import { audited } from '../../../db/writer.ts'
import { judgeKeys, keySettings } from '../../clients/registration.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { duration } from '../shell/options.ts'
import { facts } from '../shell/output.ts'
import { noteKeysAt, withKeys } from './client-keys.ts'
import { existingClient, noClient } from './existing-client.ts'
import { handOutSecret, secretAdvice } from './new-secret.ts'

const day = 86_400

/** The verbs of `mintmark client` that change what a client authenticates with. */
export function credentialCommands(client: CommandUnknownOpts, terminal: Terminal): void {
  verb(client, 'rotate-secret', 'give a client a new secret, and show it once', [
    'mintmark client rotate-secret nightly --keep-old 24h',
    'mintmark client rotate-secret nightly --keep-old 1h --secret-file nightly.secret',
  ])
    .argument('<client_id>')
    .option(
      '--keep-old <duration>',
      'how long the old secret, or the keys it had instead, still work; without it they end now',
      duration(1, 90 * day),
    )
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .action(
      command(terminal, async (run, id, { keepOld, secretFile }) => {
        const { db } = await run.open()
        const { auth_method: from } = await existingClient(db, id)
        if (from === 'none') throw new CommandError(`the client ${id} is public, so it has no secret`)
        if (from !== 'client_secret' && from !== 'private_key_jwt') {
          throw new CommandError(
            `the client ${id} authenticates with its certificate (${from}), and takes no secret`,
          )
        }
        const oldExpiresAt = keepOld === undefined ? null : run.clock.now() + keepOld
        const secret = await handOutSecret(run, secretFile, async secretHash => {
          const detail = { from, old_secret_expires_at: oldExpiresAt }
          const writer = audited(db, run.entry('client_secret_rotated', { clientId: id, detail }))
          if (!(await rotateClientSecret(writer, id, { from, secretHash, oldExpiresAt }))) throw noClient(id)
        })
        const lines = [
          `Gave the client ${id} a new secret.`,
          facts({ client_id: id, ...secret }),
          fateOf(from === 'client_secret' ? 'secret' : 'key set', keepOld, oldExpiresAt),
          secretAdvice(secret),
        ]
        return {
          text: lines.join('\n'),
          json: { client_id: id, ...secret, old_secret_expires_at: oldExpiresAt },
        }
      }),
    )

  verb(client, 'set-keys', 'give a client keys instead of its secret, or other keys', [
    'mintmark client set-keys nightly --new-key nightly.jwk --keep-old 24h',
    'mintmark client set-keys nightly --jwks-uri https://nightly.example/jwks.json --keep-old 24h',
  ])
    .argument('<client_id>')
    .option('--jwks <file>', 'its public keys: a JWK Set, or one JWK')
    .option('--jwks-uri <url>', 'where it publishes them')
    .option('--new-key <file>', 'make a key, and write its private half there (mode 0600)')
    .option(
      '--keep-old <duration>',
      'how long its secret still works; without it, the secret ends now',
      duration(1, 90 * day),
    )
    .action(
      command(terminal, async (run, id, { keepOld, ...options }) => {
        const { db, config } = await run.open()
        const { auth_method: from } = await existingClient(db, id)
        if (from === 'none' || from === 'tls_client_auth') {
          throw new CommandError(
            `the client ${id} (${from}) is not known by keys: delete it, and create it with them`,
          )
        }
        if (keepOld !== undefined && from !== 'client_secret') {
          throw new UsageError(
            `${id} has keys, not a secret: to keep an old key, put it into the new set too`,
          )
        }
        const oldExpiresAt = keepOld === undefined ? null : run.clock.now() + keepOld
        const given = await withKeys(run, options, async given => {
          if (given.jwks === null && given.jwks_uri === null) {
            throw new UsageError('which keys? Give --jwks, --jwks-uri or --new-key')
          }
          const { refusals, warnings } = judgeKeys({ ...given, tls_subject: null })
          if (refusals.length > 0) throw new CommandError(refusals.join('\n'))
          for (const warning of warnings) run.note(`note: ${warning}`)
          const { jwks, jwks_uri } = keySettings({ ...given, tls_subject: null })
          const detail = { from, jwks: given.jwks, jwks_uri, old_secret_expires_at: oldExpiresAt }
          const writer = audited(db, run.entry('client_keys_set', { clientId: id, detail }))
          if (!(await setClientKeys(writer, id, { from, keys: { jwks, jwks_uri }, oldExpiresAt })))
            throw noClient(id)
          return given
        })
        if (given.jwks_uri !== null) await noteKeysAt(run, config, given.jwks_uri)
        const { private_key_file: file } = given
        const lines = [
          `Gave the client ${id} keys.`,
          facts({ client_id: id, jwks_uri: given.jwks_uri ?? undefined, private_key_file: file }),
          fateOf(from === 'client_secret' ? 'secret' : 'key set', keepOld, oldExpiresAt),
        ]
        return {
          text: lines.join('\n'),
          json: { client_id: id, ...given, old_secret_expires_at: oldExpiresAt },
        }
      }),
    )
}

/** What becomes of what a client had. */
function fateOf(
  what: 'secret' | 'key set',
  keepOld: number | undefined,
  oldExpiresAt: number | null,
): string {
  return keepOld === undefined
    ? `The old ${what} is refused from now on.`
    : `The old ${what} works for another ${formatDuration(keepOld)}, until ${formatTime(oldExpiresAt)}.`
}
