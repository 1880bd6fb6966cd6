import { resolve } from 'node:path'
import type { Admin } from '../../admin/admin.ts'
import { findingsAt } from '../../admin/client-credentials.ts'
import { withNewFile } from '../../admin/secret-file.ts'
import { newClientKey } from '../../keys/proofs/client-jwks.ts'
import { isObject } from '../../values/json.ts'
import type { Run } from '../shell/command.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { readInput } from '../shell/input.ts'

/** What an operator gives a client to be known by, instead of a secret. */
export interface KeyOptions {
  readonly jwks?: string | undefined
  readonly jwksUri?: string | undefined
  readonly newKey?: string | undefined
}

/** The key set that a client is to have. */
export interface GivenKeys {
  readonly jwks: object | null
  readonly jwks_uri: string | null
  /** Where the private half of a new key was written. */
  readonly private_key_file?: string
}

/**
 * Reads the key options and runs `change` with what they say. A new key's private half is on disk before
 * anything depends on it, in a new file that only this user can read (mode 0600); a change that throws
 * removes it.
 */
export async function withKeys<T>(
  run: Run,
  { jwks, jwksUri, newKey }: KeyOptions,
  change: (keys: GivenKeys) => Promise<T>,
): Promise<T> {
  if ([jwks, jwksUri, newKey].filter(option => option !== undefined).length > 1) {
    throw new UsageError('--jwks, --jwks-uri and --new-key each give the client its keys: use one of them')
  }
  if (newKey === undefined) {
    return change({ jwks: jwks === undefined ? null : await readJwks(run, jwks), jwks_uri: jwksUri ?? null })
  }
  const file = resolve(run.workingDirectory, newKey)
  const { privateJwk, jwks: made } = newClientKey()
  return withNewFile(file, `${JSON.stringify(privateJwk, null, 2)}\n`, () =>
    change({ jwks: made, jwks_uri: null, private_key_file: file }),
  )
}

/** A key set, or one key. */
export async function readJwks(run: Run, path: string): Promise<object> {
  const { name, text } = await readInput(run, path)
  const value = parse(text)
  if (isObject(value)) return 'keys' in value ? value : { keys: [value] }
  const isPem = text.includes('-----BEGIN')
  const hint = isPem ? ', and this is PEM: convert its public half to a JWK' : ''
  throw new CommandError(`${name} takes a JWK Set in JSON (RFC 7517 §5), or one JWK${hint}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // whatever it is, it is no JSON
  }
}

/** Notes what is found at a `jwks_uri` now. */
export async function noteKeysAt(run: Run, admin: Admin, uri: string): Promise<void> {
  for (const finding of await findingsAt(admin, uri)) run.note(`note: ${finding}`)
}
