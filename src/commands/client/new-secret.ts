import { resolve } from 'node:path'
import type { NewSecret } from '../../admin/secret-file.ts'
import type { Run } from '../shell/command.ts'

/** The absolute path of a file for a secret, if there is to be one. */
export function pathOf({ workingDirectory }: Run, path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(workingDirectory, path)
}

/** What to know about it. */
export function secretAdvice(secret: NewSecret): string {
  return 'client_secret' in secret
    ? 'Keep the secret now: it is not shown again, and only its hash is stored.'
    : 'The secret is in that file and nowhere else; only its hash is stored.'
}
