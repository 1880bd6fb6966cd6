import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash, hashRaw, parseOptions, verify, type Algorithm } from '@node-rs/argon2'
import type { UserTable } from '../../db/schema.ts'
import { OAuthError, unavailable } from '../errors.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { boundedQueue } from '../load/bounded-queue.ts'
import { gauge, queueLength, type Metric } from '../upkeep/metric.ts'
import { isWrapped, openWrapped, wrap } from './wrapped-hash.ts'
import { ImportedHashError, readArgon2, readImportedHash, type ImportedHash } from './imported-hashes.ts'

export type PasswordHash = Pick<UserTable, 'password_hash' | 'root_key_id'>

/**
 * Hashes and verifies passwords, a few at a time, so that a storm of log-ins leaves the rest of the server
 * its threads. Others wait in a queue; where that is full, or holds too many of one source, the caller sees
 * 503 with Retry-After.
 */
export interface Passwords {
  /**
   * Hashes a password for a user's row. A password that no request can carry is a `PasswordError`; 503 like
   * `verify`.
   */
  hash(password: string, source?: string): Promise<PasswordHash>
  /**
   * Whether it is the user's password. Without a user, or where that has none (an empty hash), it does the
   * work that it does for a user, of the kind that belongs to the `name`, and answers false. Throws
   * `temporarily_unavailable` (503) when too many are waiting, or too many of the source, if one is told, or
   * when the root key of the hash is not loaded. Does not look at whether the user is disabled.
   */
  verify(user: PasswordHash | undefined, password: string, source?: string, name?: string): Promise<boolean>
  /**
   * Hashes a code of many random bits, where one salt is for all of a set: so that one hash finds which of
   * them it is. 503 like `verify`.
   */
  hashCode(code: string, salt: Buffer, source?: string): Promise<Buffer>
  /**
   * Wraps a hash that another system has made, so that who has the database alone cannot guess from it; with
   * the root key whose pepper is in it, it is one of our own. An empty one is none. Throws
   * `ImportedHashError`.
   */
  wrap(hash: string, rootKeyId?: string): PasswordHash
  /** The hash as `wrap` took it. */
  unwrap(user: PasswordHash): { readonly hash: string; readonly rootKeyId?: string }
  /**
   * Whether the hash of a password just verified should be made anew: older parameters, or an older root key.
   */
  needsRehash(user: PasswordHash): boolean
  /** Throws what `verify` would throw now because too many are waiting, and does nothing else. */
  refuseIfQueueFull(source?: string): void
  /** How many are being hashed, and how many wait for their turn. */
  load(): { readonly running: number; readonly waiting: number }
}

export interface PasswordOptions {
  /** New hashes are made under the current one. */
  readonly rootKeys: Pick<RootKeys, 'pepperOf' | 'currentId' | 'has' | 'seal' | 'open'>
  /** How many are hashed at once. */
  readonly concurrency?: number
  /** How many may wait for that. */
  readonly waitingMax?: number
  /** The hash whose time a guess at an unknown name takes; see `ImportedSample`. */
  readonly likenessOf?: (name: string) => PasswordHash | undefined
  /** What a new hash costs, of a password or a code, if not what is due to people's. */
  readonly cost?: PasswordCost | undefined
}

/** Of argon2id: KiB of memory, passes over it, and lanes. */
export interface PasswordCost {
  readonly memoryCost: number
  readonly timeCost: number
  readonly parallelism: number
}

/** The password cannot be used by anybody; the message says why and never what it was. */
export class PasswordError extends Error {
  override readonly name = 'PasswordError'
}

/** OWASP's first choice for argon2id: 19 MiB and two passes, 20 to 40 ms. */
export const usualCost: PasswordCost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** Of recovery codes. It stays as it is: the hashes of those that people have do not say what they cost. */
const codeCost: PasswordCost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

const algorithm = 2 satisfies Algorithm.Argon2id

/** A longer password only costs: its entropy has long passed that of the hash. */
export const passwordMaxBytes = 1024

/** The size of libuv's thread pool, unless UV_THREADPOOL_SIZE says otherwise. */
const threads = 4

/**
 * How many passwords each process of a server hashes at once. One core and one thread of the pool always stay
 * free: signatures are made in the same pool, and a refresh shall not wait for log-ins.
 */
export function hashesAtOnce(processes = 1, cores = availableParallelism()): number {
  return Math.max(1, Math.floor((Math.min(cores, threads * processes) - 1) / processes))
}

/** About a second's work for each: a request that would wait longer is better told so at once. */
const waitingMaxEach = 32

/** Opens the pool in which passwords are hashed. */
export function openPasswords(options: PasswordOptions): {
  readonly passwords: Passwords
  readonly metrics: readonly Metric[]
} {
  const { rootKeys, concurrency = hashesAtOnce(), cost = usualCost } = options
  const parameters = { algorithm, ...cost } as const
  const queue = boundedQueue(concurrency, options.waitingMax ?? waitingMaxEach * concurrency, tooMany)

  const pepper = (rootKeyId: string): Buffer => {
    const secret = rootKeys.pepperOf(rootKeyId)
    if (!secret)
      throw unavailable(new Error(`the root key ${rootKeyId}, which a password hash needs, is not loaded`))
    return secret
  }

  const ownHash = (password_hash: string, root_key_id: string): PasswordHash => {
    if (!rootKeys.has(root_key_id))
      throw new ImportedHashError('its password_hash needs a root key that is not in the file of root keys')
    readArgon2(password_hash)
    return { password_hash, root_key_id }
  }

  // So that an unknown user costs what a known one costs.
  const hashOfNobody = hashOfNothing(cost)

  const verifier = (stored: PasswordHash, password: string): (() => Promise<boolean>) => {
    if (isWrapped(stored)) {
      const imported = readImportedHash(openWrapped(rootKeys, stored))
      return () => verifyImported(imported, password)
    }
    const secret = pepper(stored.root_key_id)
    return () => verify(stored.password_hash, prepare(password), { secret })
  }

  const passwords: Passwords = {
    hash: async (password, source) => {
      const problem = passwordProblem(password)
      if (problem) throw new PasswordError(problem)
      const root_key_id = rootKeys.currentId
      const secret = pepper(root_key_id)
      const password_hash = await queue.run(() => hash(prepare(password), { ...parameters, secret }), source)
      return { password_hash, root_key_id }
    },
    verify: async (user, password, source, name) => {
      // For known and unknown users alike, so this answer, though quick, tells nothing.
      if (passwordProblem(password)) return false
      // A user without a password, as before an invitation is followed, is like an unknown one.
      const held = user?.password_hash ? user : undefined
      const likeness = name === undefined ? undefined : options.likenessOf?.(name)
      const own = { password_hash: hashOfNobody, root_key_id: rootKeys.currentId }
      const isRight = await queue.run(verifier(held ?? likeness ?? own, password), source)
      return isRight && held !== undefined
    },
    hashCode: (code, salt, source) =>
      queue.run(() => hashRaw(code, { algorithm, ...codeCost, ...options.cost, salt }), source),
    wrap: (hash, rootKeyId) => {
      if (rootKeyId !== undefined) return ownHash(hash, rootKeyId)
      if (hash === '') return { password_hash: '', root_key_id: rootKeys.currentId }
      readImportedHash(hash)
      return wrap(rootKeys, hash)
    },
    unwrap: user =>
      isWrapped(user)
        ? { hash: openWrapped(rootKeys, user) }
        : { hash: user.password_hash, ...(user.password_hash !== '' && { rootKeyId: user.root_key_id }) },
    needsRehash: user => {
      if (isWrapped(user) || user.root_key_id !== rootKeys.currentId) return true
      const made = parseOptions(user.password_hash)
      return (Object.keys(parameters) as (keyof typeof parameters)[]).some(
        name => made[name] !== parameters[name],
      )
    },
    refuseIfQueueFull: queue.refuseIfQueueFull,
    load: queue.load,
  }
  return {
    passwords,
    metrics: [
      queueLength('password_hash', () => queue.load().waiting),
      gauge('mintmark_password_hashes_running', 'Passwords being hashed', () => queue.load().running),
    ],
  }
}

/** The other system may have taken the password as it was typed, or in the spelling that is used here. */
async function verifyImported({ verify }: ImportedHash, password: string): Promise<boolean> {
  const prepared = prepare(password)
  return (await verify(password)) || (prepared !== password && (await verify(prepared)))
}

/** RFC 8265 §4.2: one spelling for what looks the same, so that every keyboard can type it. */
function prepare(password: string): string {
  return password.replace(/\p{Zs}/gu, ' ').normalize('NFC')
}

/** How short a new password may be (NIST SP 800-63B §3.1.1.2). */
const passwordMinLength = 8

/**
 * Characters that RFC 8264 §9.11 leaves out of free text: controls, invisible and unassigned ones, those
 * that mean nothing without an agreement, and Hangul's old letters. Joiners belong to the spelling of words
 * (RFC 5892 A.1 and A.2), not to emoji.
 */
const disallowed = new RegExp(
  '(?!(?<=[\\p{L}\\p{M}])[\\u200c\\u200d](?=[\\p{L}\\p{M}]))' +
    '[\\p{C}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\u1100-\\u11ff\\ua960-\\ua97c\\ud7b0-\\ud7fb]',
  'u',
)

/**
 * Why no user should be given this password, as a sentence; undefined when it is fine. Stricter than what a
 * log-in may carry: a password that is stored already goes on working.
 */
export function newPasswordProblem(password: string): string | undefined {
  const problem = passwordProblem(password)
  if (problem !== undefined) return problem
  const prepared = prepare(password)
  // RFC 8265 §4.2.2.
  if (/\p{Cc}/u.test(prepared)) {
    return 'the password holds a tab or another control character, which many keyboards cannot type: leave it out'
  }
  if (disallowed.test(prepared)) {
    return (
      'the password holds a character that cannot be seen, or that Unicode does not have, like a byte order mark or ' +
      'what joins parts of an emoji: another keyboard would leave it out, so do the same'
    )
  }
  if ([...prepared].length < passwordMinLength) {
    return `the password is too short: it needs ${passwordMinLength} characters`
  }
  return undefined
}

/** Why no request can carry this password, as a sentence; undefined when it is fine. */
export function passwordProblem(password: string): string | undefined {
  if (password === '') return 'the password is empty'
  if (Buffer.byteLength(prepare(password)) > passwordMaxBytes) {
    return `the password is longer than ${passwordMaxBytes} bytes`
  }
  // RFC 6749, appendix A.16.
  if (!/^[\t\x20-\x7e\x80-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(password)) {
    return 'the password holds a line break or another control character, which no request can carry'
  }
  return undefined
}

/** Well-formed. */
function hashOfNothing({ memoryCost, timeCost, parallelism }: PasswordCost): string {
  const base64 = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '')
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${base64(16)}$${base64(32)}`
}

/** Always the same one: in a flood, what is spent on it is mostly its stack, and that tells nothing. */
const tooMany = new OAuthError(
  'temporarily_unavailable',
  'too many log-ins at once, send the same request again',
  { cause: new Error('the password queue is full'), retryAfter: 2 },
)
