import { pino, type DestinationStream, type Logger } from 'pino'

/**
 * Opens the log: one JSON document on each line.
 *
 * No line should hold a secret in the first place. Should one do so by mistake, what looks like a token or is called
 * a secret is cut out of its text. (The logger's own redaction is compiled anew for each request, which costs ten
 * times what the line does.)
 */
export function openLog(level: string, stream: DestinationStream): Logger {
  return pino({ level, base: null, hooks: { streamWrite: withoutSecrets } }, stream)
}

const secretNames =
  'authorization|password|client_secret|client_assertion|access_token|refresh_token|device_token|token'

/** A refresh or device token, a JWT, or the text of a member with such a name. */
const secrets = new RegExp(
  `mm_[rd]t_[\\w-]+|eyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*|("(?:${secretNames})":)"(?:[^"\\\\]|\\\\.)*"`,
  'g',
)

function withoutSecrets(line: string): string {
  return line.replace(secrets, (_secret, name: string | undefined) => (name ? `${name}"[cut]"` : '[cut]'))
}
