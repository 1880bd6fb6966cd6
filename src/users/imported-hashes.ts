import { createCipheriv, createHash, pbkdf2, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { parseOptions, verify as verifyArgon2 } from '@node-rs/argon2'
import { verify as verifyBcrypt } from '@node-rs/bcrypt'

/*
 * Password hashes as other systems keep them. Each has a bound on what it may cost here, so that no log-in
 * takes more than about a second, or more than 256 MiB.
 *
 *   argon2      $argon2id$v=19$m=65536,t=3,p=4$salt$hash, Django's argon2$…, {ARGON2}… of LDAP
 *   bcrypt      $2b$12$…, Django's bcrypt$… and bcrypt_sha256$…, {CRYPT}$2y$… of LDAP
 *   scrypt      $scrypt$ln=16,r=8,p=1$salt$hash, Django's scrypt$salt$n$r$p$hash
 *   Firebase    $firescrypt$ln=14,r=8,p=1$salt$hash$separator$signer key
 *   PBKDF2      $pbkdf2-sha256$i=600000$salt$hash, passlib's $pbkdf2-sha256$600000$…, Django's
 *               pbkdf2_sha256$600000$salt$hash
 *   LDAP        {SSHA}…, {SSHA256}…, {SSHA384}…, {SSHA512}…
 *   ASP.NET     what its Identity, version 3, keeps: base64 of a header, salt and PBKDF2
 */

/** A hash that was read, and may be verified. */
export interface ImportedHash {
  /** The same for all hashes that cost the same time. */
  readonly cost: string
  /** Whether it is the password's, which is taken as it was typed. */
  readonly verify: (password: string) => Promise<boolean>
}

/** Why a hash cannot be imported: a sentence without a capital and a full stop, and without the hash. */
export class ImportedHashError extends Error {
  override readonly name = 'ImportedHashError'
}

/**
 * Reads a hash of another system. Throws `ImportedHashError` for one that is not known, damaged or too dear.
 */
export function readImportedHash(text: string): ImportedHash {
  if (text.length > longestText) throw new ImportedHashError('the hash is too long')
  for (const [shape, read] of readers) {
    const found = shape.exec(text)
    if (found) return read(found.slice(1).map(part => part ?? ''))
  }
  throw new ImportedHashError(
    'the form of the hash is not known: argon2, bcrypt, scrypt, Firebase’s scrypt, PBKDF2, ASP.NET’s and SSHA are',
  )
}

const longestText = 1024
const mebibyte = 2 ** 20

/** Whole forms, so that nothing of a hash is overlooked. Groups are passed to the reader. */
const readers: readonly (readonly [RegExp, (parts: readonly string[]) => ImportedHash])[] = [
  [/^(?:argon2|\{ARGON2\})?(\$argon2(?:id|i|d)\$.*)$/, ([phc = '']) => readArgon2(phc)],
  [
    /^(?:bcrypt\$|\{(?:CRYPT|crypt)\})?(\$2[aby]\$(\d\d)\$[./A-Za-z\d]{53})$/,
    parts => readBcrypt(parts, password => password),
  ],
  [/^bcrypt_sha256\$(\$2[aby]\$(\d\d)\$[./A-Za-z\d]{53})$/, parts => readBcrypt(parts, hexadecimalSha256)],
  [
    /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$]*)\$([^$]*)$/,
    ([ln, r, p, salt = '', hash = '']) => readScrypt(2 ** Number(ln), r, p, base64(salt), base64(hash)),
  ],
  [
    /^scrypt\$(\d+)\$([^$]+)\$(\d+)\$(\d+)\$([^$]*)$/,
    ([n, salt = '', r, p, hash = '']) => readScrypt(Number(n), r, p, Buffer.from(salt), base64(hash)),
  ],
  [
    /^\$firescrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$]*)\$([^$]*)\$([^$]*)\$([^$]*)$/,
    ([ln, r, p, ...rest]) => readFirebaseScrypt(2 ** Number(ln), r, p, rest.map(base64)),
  ],
  [
    /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?(\d+)(?:,l=\d+)?\$([^$]*)\$([^$]*)$/,
    ([digest, rounds, salt = '', hash = '']) => readPbkdf2(digest, rounds, base64(salt), base64(hash)),
  ],
  [
    /^pbkdf2_(sha1|sha256|sha512)\$(\d+)\$([^$]+)\$([^$]*)$/,
    ([digest, rounds, salt = '', hash = '']) => readPbkdf2(digest, rounds, Buffer.from(salt), base64(hash)),
  ],
  [
    /^\{SSHA(256|384|512)?\}([^{}]*)$/,
    ([bits, content = '']) => readSaltedSha(bits === '' ? 'sha1' : `sha${bits}`, base64(content)),
  ],
  // Its first byte is 1.
  [/^(AQ[\w+/]{50,}=*)$/, ([content = '']) => readAspNet(base64(content))],
]

/** Reads an argon2 hash. Throws `ImportedHashError` for any other text, and for one that is too dear. */
export function readArgon2(phc: string): ImportedHash {
  const { memoryCost, timeCost, parallelism, outputLen } = parsedArgon2(phc)
  refuseCostUnless(
    memoryCost <= 256 * 1024 && memoryCost * timeCost <= 1024 * 1024,
    'argon2 with more than 256 MiB, or with more than 1 GiB in all passes',
  )
  refuseOddLength(outputLen)
  return {
    cost: `argon2 ${memoryCost} ${timeCost} ${parallelism}`,
    verify: password => verifyArgon2(phc, password),
  }
}

/** The parameters of an argon2 hash. Throws `ImportedHashError` for any other text. */
function parsedArgon2(phc: string) {
  try {
    return parseOptions(phc)
  } catch {
    throw new ImportedHashError('the argon2 hash is damaged')
  }
}

function readBcrypt(
  [hash = '', cost]: readonly string[],
  prepare: (password: string) => string,
): ImportedHash {
  refuseUnless(Number(cost) >= 4, 'bcrypt')
  refuseCostUnless(Number(cost) <= 14, 'bcrypt of a cost of more than 14')
  return { cost: `bcrypt ${cost}`, verify: password => verifyBcrypt(prepare(password), hash) }
}

/** As Django does, so that a long password is more than its first 72 bytes. */
function hexadecimalSha256(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}

function readScrypt(
  n: number,
  r: string | undefined,
  p: string | undefined,
  salt: Buffer,
  hash: Buffer,
): ImportedHash {
  const derive = scryptOf(n, Number(r), Number(p))
  refuseOddLength(hash.length)
  return {
    cost: `scrypt ${n} ${r} ${p}`,
    verify: async password => isSame(await derive(password, salt, hash.length), hash),
  }
}

/** A key is derived from the password, and what it makes of the project's own key is the hash. */
function readFirebaseScrypt(
  n: number,
  r: string | undefined,
  p: string | undefined,
  [salt = empty, hash = empty, separator = empty, signerKey = empty]: readonly Buffer[],
): ImportedHash {
  const derive = scryptOf(n, Number(r), Number(p))
  refuseUnless(hash.length === signerKey.length, 'firescrypt')
  refuseOddLength(hash.length)
  return {
    cost: `scrypt ${n} ${r} ${p}`,
    verify: async password => {
      const key = await derive(password, Buffer.concat([salt, separator]), 32)
      const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
      return isSame(Buffer.concat([cipher.update(signerKey), cipher.final()]), hash)
    },
  }
}

function scryptOf(n: number, r: number, p: number) {
  refuseUnless(n >= 2 && Number.isInteger(Math.log2(n)) && r >= 1 && p >= 1, 'scrypt')
  const memory = 128 * n * r
  refuseCostUnless(
    memory <= 256 * mebibyte && memory * p <= 1024 * mebibyte,
    'scrypt with more than 256 MiB, or 1 GiB in all',
  )
  const options = { N: n, r, p, maxmem: memory + 128 * r * (p + 2) + mebibyte }
  return (password: string, salt: Buffer, length: number) => deriveScrypt(password, salt, length, options)
}

const deriveScrypt = (
  password: string,
  salt: Buffer,
  length: number,
  options: { readonly N: number; readonly r: number; readonly p: number; readonly maxmem: number },
) =>
  new Promise<Buffer>((resolve, reject) =>
    scrypt(password, salt, length, options, (error, key) => (error ? reject(error) : resolve(key))),
  )

const derivePbkdf2 = promisify(pbkdf2)

/** OWASP's advice for SHA-1, the highest, is 1.3 million. */
const mostRounds = 3_000_000

function readPbkdf2(
  digest: string | undefined,
  rounds: string | undefined,
  salt: Buffer,
  hash: Buffer,
): ImportedHash {
  const name = digest === undefined || digest === '' ? 'sha1' : digest
  refuseUnless(Number(rounds) >= 1, 'PBKDF2')
  refuseCostUnless(Number(rounds) <= mostRounds, `PBKDF2 of more than ${mostRounds} rounds`)
  refuseOddLength(hash.length)
  return {
    cost: `pbkdf2 ${name} ${rounds} ${hash.length}`,
    verify: async password =>
      isSame(await derivePbkdf2(password, salt, Number(rounds), hash.length, name), hash),
  }
}

/** 1, the digest (0 to 2), the rounds and the length of the salt (four bytes each), the salt, the hash. */
function readAspNet(content: Buffer): ImportedHash {
  const digest = ['sha1', 'sha256', 'sha512'][content.readUInt32BE(1)]
  const saltEnd = 13 + content.readUInt32BE(9)
  refuseUnless(digest !== undefined && saltEnd < content.length, 'ASP.NET')
  const rounds = String(content.readUInt32BE(5))
  return readPbkdf2(digest, rounds, content.subarray(13, saltEnd), content.subarray(saltEnd))
}

function readSaltedSha(digest: string, content: Buffer): ImportedHash {
  const { length } = createHash(digest).digest()
  const [hash, salt] = [content.subarray(0, length), content.subarray(length)]
  refuseUnless(hash.length === length && salt.length > 0, 'SSHA')
  return {
    cost: digest,
    verify: async password => isSame(createHash(digest).update(password).update(salt).digest(), hash),
  }
}

/** Refuses a hash that many passwords would have, or that costs by its length. */
function refuseOddLength(bytes: number): void {
  if (bytes < 16 || bytes > 128)
    throw new ImportedHashError('the hash has less than 16 bytes, or more than 128')
}

const empty = Buffer.alloc(0)

function isSame(made: Buffer, hash: Buffer): boolean {
  return made.length === hash.length && timingSafeEqual(made, hash)
}

/** With or without padding, and with the `.` of passlib for `+`. */
function base64(text: string): Buffer {
  const plain = text.replaceAll('.', '+').replace(/=+$/, '')
  const bytes = Buffer.from(plain, 'base64')
  // The decoder skips what it does not know.
  const isWhole =
    bytes.toString('base64').replace(/=+$/, '') === plain.replaceAll('-', '+').replaceAll('_', '/')
  if (!isWhole) throw new ImportedHashError('a part of the hash is not base64')
  return bytes
}

function refuseUnless(isSound: boolean, kind: string): void {
  if (!isSound) throw new ImportedHashError(`the ${kind} hash is damaged`)
}

function refuseCostUnless(isBearable: boolean, what: string): void {
  if (!isBearable) throw new ImportedHashError(`${what} would take too long at each log-in`)
}
