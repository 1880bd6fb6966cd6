import { closeSync, fsyncSync, unlinkSync, writeSync } from 'node:fs'
import { openNewFile } from '../../db/engines/files.ts'
import { hashSecret, newClientSecret } from '../protocol/secrets.ts'

/** A new client secret, as the answer tells it: once, or only where it was written. */
export type NewSecret = { readonly client_secret: string } | { readonly client_secret_file: string }

/**
 * Makes a client secret and the change that it is for. With a file (an absolute path), the secret is on disk
 * before anything depends on it, in a new file that only this user can read (mode 0600), never over another;
 * a change that throws removes it.
 */
export async function handOutSecret(
  file: string | undefined,
  change: (secretHash: Buffer) => Promise<void>,
): Promise<NewSecret> {
  const secret = newClientSecret()
  if (file === undefined) {
    await change(hashSecret(secret))
    return { client_secret: secret }
  }
  // Programs that read the file take all of it for the secret, so no line break ends it.
  await withNewFile(file, secret, () => change(hashSecret(secret)))
  return { client_secret_file: file }
}

/**
 * Writes a new file for this user alone, and makes the change that it is for. A change that throws removes
 * it.
 */
export async function withNewFile<T>(file: string, text: string, change: () => Promise<T>): Promise<T> {
  writeNewFile(file, text)
  try {
    return await change()
  } catch (error) {
    unlinkSync(file)
    throw error
  }
}

/** Writes a file that is not there yet, for this user alone, and waits until it is on disk. */
function writeNewFile(file: string, text: string): void {
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
