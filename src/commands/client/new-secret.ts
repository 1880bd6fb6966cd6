import { closeSync, fsyncSync, unlinkSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { openNewFile } from '../../../db/engines/files.ts'
import { hashSecret, newClientSecret } from '../../protocol/secrets.ts'
import type { Run } from '../shell/command.ts'

/** A new client secret, as the answer tells it: once, or only where it was written. */
export type NewSecret = { readonly client_secret: string } | { readonly client_secret_file: string }

/**
 * Makes a client secret and the change that it is for. With a path, the secret is on disk before anything depends on
 * it, in a new file that only this user can read (mode 0600), never over another; a change that throws removes it.
 */
export async function handOutSecret(
  { workingDirectory }: Run,
  path: string | undefined,
  change: (secretHash: Buffer) => Promise<void>,
): Promise<NewSecret> {
  const secret = newClientSecret()
  if (path === undefined) {
    await change(hashSecret(secret))
    return { client_secret: secret }
  }
  const file = resolve(workingDirectory, path)
  // Whoever reads the file has the secret, and not a line break behind it.
  writeNewFile(file, secret)
  try {
    await change(hashSecret(secret))
  } catch (error) {
    unlinkSync(file)
    throw error
  }
  return { client_secret_file: file }
}

/** What to know about it. */
export function secretAdvice(secret: NewSecret): string {
  return 'client_secret' in secret
    ? 'Keep the secret now: it is not shown again, and only its hash is stored.'
    : 'The secret is in that file and nowhere else; only its hash is stored.'
}

/** Writes a file that is not there yet, for this user alone, and waits until it is on disk. */
export function writeNewFile(file: string, text: string): void {
  const descriptor = openNewFile(file)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } catch (error) {
    unlinkSync(file)
    throw error
  } finally {
    closeSync(descriptor)
  }
}
