import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { ImportedHashError, readImportedHash } from '../../src/users/imported-hashes.ts'

/**
 * Made by the programs themselves: argon2-cffi 25.1, bcrypt 4.0, passlib 1.7 and Django 5.2 (each hasher's
 * `hash` or `encode`, with small costs), and the sample of Firebase's own scrypt. That of ASP.NET is laid out
 * as its PasswordHasher documents it, with PBKDF2 of Python's hashlib.
 */
const hashes: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(import.meta.dirname, '../data/password-hashes.json'), 'utf8'),
)

t.test('a hash of another program is the hash of its password alone', async t => {
  for (const [program, hash] of Object.entries(hashes)) {
    const password = program === 'firebase/scrypt' ? 'user1password' : 'correct horse bätt€ry'
    const { verify } = readImportedHash(hash)
    t.equal(await verify(password), true, program)
    t.equal(await verify(`${password} `), false, program)
    t.equal(await verify(''), false, program)
  }
})

t.test('a hash that would take too long, or that many passwords have, is refused at once', async t => {
  const salt = 'BmAsJSQkxDinFILQGuP8Xw'
  const hash = 'WGZqJ0BHKxA2zPngVz15v3tPGTQ7O5Omf2LH7gIK1NQ'
  for (const [text, reason] of [
    [`$argon2id$v=19$m=67108864,t=1,p=1$${salt}$${hash}`, /would take too long/],
    [`$argon2id$v=19$m=262144,t=5,p=1$${salt}$${hash}`, /would take too long/],
    [`$argon2id$v=19$m=1024,t=1,p=1$${salt}$WGZqJ0BHKxA`, /less than 16 bytes|damaged/],
    [`$pbkdf2-sha256$2147483647$${salt}$${hash}`, /would take too long/],
    [`$pbkdf2-sha256$0$${salt}$${hash}`, /damaged/],
    [`$pbkdf2-sha256$1000$${salt}$`, /less than 16 bytes/],
    [`$pbkdf2-sha256$1000$${salt}$${hash.repeat(8)}`, /more than 128/],
    [`$scrypt$ln=30,r=8,p=1$${salt}$${hash}`, /would take too long/],
    [`$scrypt$ln=15,r=8,p=512$${salt}$${hash}`, /would take too long/],
    [`scrypt$1000$${salt}$8$1$${hash}`, /damaged/],
    ['$2b$31$x/eLHCtOKTh41p22Id1SsuAATBlRQxcpKBLV7yPmbIu6RyDFFFUL.', /would take too long/],
    ['$2b$03$x/eLHCtOKTh41p22Id1SsuAATBlRQxcpKBLV7yPmbIu6RyDFFFUL.', /damaged/],
    ['{SSHA}WGZqJ0BHKxA2zPngVz15v3tPGTQ=', /damaged/],
    [`$pbkdf2-sha256$1000$${salt}$?${hash}`, /not base64/],
    ['5f4dcc3b5aa765d61d8327deb882cf99', /not known/],
    ['secret', /not known/],
    [`AQAAAAIAAAPo/////w${'A'.repeat(64)}`, /damaged/],
    [`AQAAAAl/////wAAABA${'A'.repeat(66)}`, /damaged/],
    ['$'.repeat(2000), /too long/],
  ] as const) {
    t.throws(() => readImportedHash(text), { name: 'ImportedHashError', message: reason }, text)
  }
})

t.test('whatever is read can be verified, and no message holds the hash', async t => {
  const texts = Object.values(hashes).filter(hash => !hash.startsWith('$firescrypt'))
  const edit = fc.tuple(
    fc.constantFrom(...texts),
    fc.nat(),
    fc.constantFrom('', '0', '9', '$', '=', 'A', '.'),
  )
  const property = fc.asyncProperty(edit, async ([text, at, put]) => {
    const i = at % text.length
    const edited = text.slice(0, i) + put + text.slice(i + 1)
    try {
      await readImportedHash(edited).verify('nothing')
    } catch (error) {
      if (!(error instanceof ImportedHashError)) throw error
      t.notOk(error.message.includes(text.slice(-12)))
    }
  })
  await fc.assert(property, { numRuns: 300 })
  t.pass()
})
