import { setImmediate } from 'node:timers/promises'
import { hash } from '@node-rs/argon2'
import t from 'tap'
import { findUserById } from '../../db/users/users.ts'
import { OAuthError } from '../../src/errors.ts'
import {
  newPasswordProblem,
  openPasswords,
  PasswordError,
  usualCost,
  type PasswordOptions,
} from '../../src/users/passwords.ts'
import { startedAt, startServer } from '../helpers/server.ts'

const peppers = new Map([
  ['00000001', Buffer.alloc(32, 1)],
  ['00000002', Buffer.alloc(32, 2)],
])
const rootKeysAt = (currentId: string): PasswordOptions['rootKeys'] => ({
  currentId,
  has: id => peppers.has(id),
  pepperOf: id => peppers.get(id),
  seal: () => {
    throw new Error('nothing is sealed')
  },
  open: () => undefined,
})
const open = (options: Partial<PasswordOptions> = {}) =>
  openPasswords({ rootKeys: rootKeysAt('00000001'), ...options }).passwords

t.test(
  'NP-5 a password is stored as argon2id with the parameters of OWASP, and only it is verified',
  async t => {
    const passwords = open()
    const user = await passwords.hash('correct horse')
    t.match(user.password_hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    t.equal(user.root_key_id, '00000001')
    t.notMatch(await passwords.hash('correct horse'), user, 'each hash has its own salt')
    t.equal(await passwords.verify(user, 'correct horse'), true)
    t.equal(await passwords.verify(user, 'correct horsE'), false)
    t.equal(await passwords.verify(undefined, 'correct horse'), false)
  },
)

t.test(
  'NP-8 a recovery code is hashed at the cost of a password, which no row says and none may change',
  async t => {
    // As the reference implementation hashes it.
    const expected = 'e3c341cb8341fdc49d87840cd97562e9af17a8513c01a35fab04a10bb7e9c89e'
    const hash = await open().hashCode('ABCD2345EFGH', Buffer.alloc(16, 7))
    t.equal(hash.toString('hex'), expected)
  },
)

t.test('invariant 7: without the pepper of the right root key nobody can guess a password', async t => {
  const passwords = open()
  const user = await passwords.hash('correct horse')
  t.equal(await passwords.verify({ ...user, root_key_id: '00000002' }, 'correct horse'), false)
  const unpeppered = { password_hash: await hash('correct horse'), root_key_id: '00000001' }
  t.equal(await passwords.verify(unpeppered, 'correct horse'), false)
})

t.test('a password that no request can carry is refused with the reason, never verified (P-8)', async t => {
  const passwords = open()
  for (const [password, reason] of [
    ['', /empty/],
    ['two\nlines', /line break/],
    ['two\r\nlines', /line break/],
    ['nul\0', /control character/],
    ['half a pair \ud800', /control character/],
    ['x'.repeat(1025), /longer than 1024 bytes/],
    ['\u00e4'.repeat(513), /longer than 1024 bytes/],
  ] as const) {
    const error = await passwords.hash(password).catch((error: unknown) => error)
    t.ok(error instanceof PasswordError)
    t.match(error, { message: reason })
    const secret = Buffer.alloc(32, 1)
    const user = { password_hash: await hash(password, { secret }), root_key_id: '00000001' }
    const verdict = passwords.verify(user, password)
    t.equal(passwords.load().running, 0, 'and nothing is hashed for it')
    t.equal(await verdict, false)
  }
  const longest = await passwords.hash('x'.repeat(1024))
  t.equal(await passwords.verify(longest, 'x'.repeat(1024)), true)
  t.equal(await passwords.verify(longest, `${'x'.repeat(1023)}y`), false, 'NP-2 to its last character')
  for (const password of ['a tab\tis fine', '\ufeffa mark is fine', 'a \u200d joiner is fine']) {
    const user = await passwords.hash(password)
    t.equal(
      await passwords.verify(user, password),
      true,
      'what a new password may not hold works where it is stored',
    )
  }
})

t.test('NP-10 RFC 8265 §4.2: one spelling for what looks the same, and no other is made one', async t => {
  const passwords = open()
  const user = await passwords.hash('pass\u00e9 m\u00b2 \ufb01n')
  for (const [typed, isRight] of [
    ['passe\u0301 m\u00b2 \ufb01n', true],
    ['pass\u00e9\u00a0m\u00b2\u3000\ufb01n', true],
    ['pass\u00e9 m2 \ufb01n', false],
    ['pass\u00e9 m\u00b2 fin', false],
    ['PASS\u00c9 m\u00b2 \ufb01n', false],
  ] as const)
    t.equal(await passwords.verify(user, typed), isRight, typed)
  t.match(newPasswordProblem('not in Unicode yet \u{1ffff}'), /that Unicode does not have/)
  t.equal(newPasswordProblem('pass\u00e9 m\u00b2 \ufb01n'), undefined)
})

t.test(
  'a hash under a root key that is not loaded is a fault of ours: 503, not a wrong password',
  async t => {
    const passwords = open()
    const user = await passwords.hash('correct horse')
    const error = await passwords
      .verify({ ...user, root_key_id: 'ffffffff' }, 'correct horse')
      .catch((e: unknown) => e)
    t.ok(error instanceof OAuthError)
    t.match(error, {
      code: 'temporarily_unavailable',
      status: 503,
      retryAfter: 1,
      cause: { message: /root key ffffffff/ },
    })
    t.notMatch(String(error), /ffffffff/, 'and the client is not told which')
    await t.rejects(open({ rootKeys: rootKeysAt('ffffffff') }).verify(undefined, 'x'), {
      name: 'OAuthError',
    })
  },
)

t.test('older parameters and an older root key ask for a new hash', async t => {
  const passwords = open({ rootKeys: rootKeysAt('00000002') })
  const user = await passwords.hash('correct horse')
  t.equal(passwords.needsRehash(user), false)
  t.equal(passwords.needsRehash({ ...user, root_key_id: '00000001' }), true)
  for (const older of [{ memoryCost: 8192 }, { timeCost: 1 }, { parallelism: 2 }, { algorithm: 1 }]) {
    const password_hash = await hash('correct horse', { secret: Buffer.alloc(32, 2), timeCost: 2, ...older })
    t.equal(
      await passwords.verify({ ...user, password_hash }, 'correct horse'),
      true,
      'and is verified until then',
    )
    t.equal(passwords.needsRehash({ ...user, password_hash }), true)
  }
})

t.test(
  'invariant 8: few are hashed at once, some wait, and the others get 503 at once, unknown users too',
  async t => {
    const passwords = open({ concurrency: 2, waitingMax: 3 })
    const user = await passwords.hash('correct horse')
    let answered = 0
    const most = { running: 0, waiting: 0 }
    const look = () => {
      const load = passwords.load()
      most.running = Math.max(most.running, load.running)
      most.waiting = Math.max(most.waiting, load.waiting)
    }
    const accepted = [user, undefined, user, undefined, user].map(async who => {
      const isRight = await passwords.verify(who, 'correct horse')
      answered++
      look()
      return isRight
    })
    look()
    for (const who of [user, undefined]) {
      const error = await passwords.verify(who, 'correct horse').catch((e: unknown) => e)
      t.match(error, { code: 'temporarily_unavailable', status: 503, retryAfter: 2 })
    }
    await t.rejects(passwords.hash('another'), { code: 'temporarily_unavailable' }, 'and so is hashing')
    t.equal(answered, 0, 'nobody was made to wait for a refusal')
    t.same(await Promise.all(accepted), [true, false, true, false, true])
    t.same(most, { running: 2, waiting: 3 })
    t.same(passwords.load(), { running: 0, waiting: 0 })
    t.equal(await passwords.verify(user, 'correct horse'), true, 'and afterwards all is as before')
  },
)

t.test('a log-in renews an older hash and ends no session by it, but not while others wait', async t => {
  const server = await startServer(t, {}, startedAt, usualCost)
  const {
    db,
    users: { passwords },
    rootKeys,
  } = server.ctx
  const client = await server.client('web')
  const user = await server.user()
  const session = await server.logIn(client, user)
  const secret = rootKeys.pepperOf(rootKeys.currentId)
  if (!secret) throw new Error('the current pepper is there')
  const older = await hash(user.password, { secret, timeCost: 1 })
  const put = () =>
    db.sql.updateTable('users').set({ password_hash: older }).where('id', '=', user.id).execute()
  const stored = async () => (await findUserById(db, user.id))?.password_hash

  await put()
  await server.logIn(client, user)
  t.match(await stored(), /\$m=19456,t=2,p=1\$/)
  await server.logIn(client, user)
  await server.refresh(client, session.refresh_token)

  await put()
  const { username, password } = user
  const logIn = server.post('/token', { grant_type: 'password', username, password, ...client.form })
  while (passwords.load().running === 0) await setImmediate()
  const others: Promise<unknown>[] = []
  let isFull = false
  while (!isFull) {
    const refused = () => {
      isFull = true
    }
    others.push(passwords.verify(undefined, 'x').catch(refused))
    await Promise.resolve()
  }
  t.equal((await logIn).statusCode, 200, 'whose password is right is let in, however many wait')
  t.equal(await stored(), older)
  await Promise.all(others)
})

t.test('a hash that cannot be read gives its turn back', async t => {
  const passwords = open({ concurrency: 1, waitingMax: 0 })
  await t.rejects(passwords.verify({ password_hash: 'broken', root_key_id: '00000001' }, 'x'))
  t.same(passwords.load(), { running: 0, waiting: 0 })
  t.equal(await passwords.verify(undefined, 'x'), false)
})
