import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { clientForKeys, keepLimits, rotateSecret, setKeys } from '../../admin/client-credentials.ts'
import type { AuthMethod } from '../../clients/judge-client.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { UsageError } from '../shell/failures.ts'
import { duration } from '../shell/options.ts'
import { facts } from '../shell/output.ts'
import { noteKeysAt, withKeys } from './client-keys.ts'
import { pathOf, secretAdvice } from './new-secret.ts'

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
      duration(...keepLimits),
    )
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .action(
      command(terminal, async (run, id, { keepOld, secretFile }) => {
        const { from, oldExpiresAt, secret } = await rotateSecret(await run.open(), id, {
          keepSeconds: keepOld,
          secretFile: pathOf(run, secretFile),
        })
        const lines = [
          `Gave the client ${id} a new secret.`,
          facts({ client_id: id, ...secret }),
          fateOf(from, keepOld, oldExpiresAt),
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
      duration(...keepLimits),
    )
    .action(
      command(terminal, async (run, id, { keepOld, ...options }) => {
        const admin = await run.open()
        const client = await clientForKeys(admin, id)
        const { given, from, oldExpiresAt } = await withKeys(run, options, async given => {
          if (given.jwks === null && given.jwks_uri === null) {
            throw new UsageError('which keys? Give --jwks, --jwks-uri or --new-key')
          }
          const { warnings, ...done } = await setKeys(admin, client, given, keepOld)
          for (const warning of warnings) run.note(`note: ${warning}`)
          return { given, ...done }
        })
        if (given.jwks_uri !== null) await noteKeysAt(run, admin, given.jwks_uri)
        const { private_key_file: file } = given
        const lines = [
          `Gave the client ${id} keys.`,
          facts({ client_id: id, jwks_uri: given.jwks_uri ?? undefined, private_key_file: file }),
          fateOf(from, keepOld, oldExpiresAt),
        ]
        return {
          text: lines.join('\n'),
          json: { client_id: id, ...given, old_secret_expires_at: oldExpiresAt },
        }
      }),
    )
}

/** What becomes of what a client had. */
function fateOf(from: AuthMethod, keepOld: number | undefined, oldExpiresAt: number | null): string {
  if (from === 'federated') return 'Trusted issuers go on naming it: `mintmark issuer distrust` ends that.'
  const what = from === 'client_secret' ? 'secret' : 'key set'
  return keepOld === undefined
    ? `The old ${what} is refused from now on.`
    : `The old ${what} works for another ${formatDuration(keepOld)}, until ${formatTime(oldExpiresAt)}.`
}
