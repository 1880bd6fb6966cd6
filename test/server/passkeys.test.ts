import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { listPasskeys } from '../../db/factors/passkeys.ts'
import { findUserById } from '../../db/users/users.ts'
import { removeFactor } from '../../src/account/removal.ts'
import {
  addPasskey,
  creationOptions,
  passkeyDocuments,
  passkeysPossible,
  renamePasskey,
} from '../../src/factors/passkeys.ts'
import { readAnswer } from '../../src/factors/webauthn.ts'
import { requestOptions, usePasskey } from '../../src/factors/use-passkey.ts'
import { challengeSeconds } from '../../src/factors/challenges.ts'
import {
  coseWith,
  softAuthenticator,
  type AnswerChanges,
  type CoseMembers,
  type KeyKind,
} from '../helpers/authenticator.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from '../helpers/server.ts'

const origin = 'https://as.example'
const browser = randomBytes(32).toString('base64url')
const caller = { requestId: 'r1', address: '198.51.100.7', source: '198.51.100.7' }
const place = { browser, clientId: 'web', caller }

/** A server with a user, and what is done with passkeys there. */
async function world(t: Test, env: Record<string, string> = {}, username = 'ada') {
  const server = await startServer(t, env)
  return { server, ...(await ownerAt(server, await server.user(username))) }
}

async function ownerAt({ ctx }: TestServer, user: TestUser) {
  const owner = async () => {
    const found = await findUserById(ctx.db, user.id)
    if (!found) throw new Error('the user is gone')
    return { user: found, caller }
  }
  const options = async () => creationOptions(ctx, (await owner()).user, browser)
  const add = async (response: string, name = 'Phone') =>
    addPasskey(ctx, await owner(), response, browser, name)
  /** Sets up a passkey, as it goes where nothing is wrong. */
  const setUp = async (of = softAuthenticator(origin)) => {
    const { response, passkey } = of.create(await options())
    const added = await add(response)
    if ('problem' in added) throw new Error(added.problem)
    return { passkey, row: added.passkey, amr: added.amr }
  }
  const ask = (userId?: Buffer) => requestOptions(ctx, { browser, userId })
  const use = (response: string, userId?: Buffer) => usePasskey(ctx, response, { ...place, userId })
  return { ctx, user, owner, options, add, setUp, ask, use }
}

const problemOf = (outcome: object) => ('problem' in outcome ? outcome.problem : 'none')

await forEachEngine(t, 'a passkey that was set up logs in, and says what it has proved', async (t, env) => {
  const { ctx, user, options, setUp, ask, use } = await world(t, env)
  const asked = await options()
  t.match(asked, {
    rp: { id: 'as.example' },
    user: { id: user.id.toString('base64url'), name: 'ada' },
    attestation: 'none',
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    excludeCredentials: [],
  })
  t.strictSame(
    Buffer.from(asked.challenge, 'base64url').toString('base64url'),
    asked.challenge,
    'a browser that decodes the challenge and encodes it again has the same text',
  )
  const bound = await setUp()
  t.equal(bound.amr, 'hwk user mfa')
  t.match(
    await listPasskeys(ctx.db, user.id),
    [
      {
        credential_id: bound.passkey.credentialId,
        counter: 1,
        transports: 'internal hybrid',
        rp_id: 'as.example',
        is_synced: 0,
      },
    ],
    'WR-14',
  )
  const synced = await setUp(softAuthenticator(origin, { isSynced: true, counts: false }))
  t.equal(synced.amr, 'swk user mfa')
  t.strictSame(
    (await options()).excludeCredentials?.map(({ id }) => id).sort(),
    [bound, synced].map(({ passkey }) => passkey.credentialId.toString('base64url')).sort(),
    'an authenticator that has one already makes no second',
  )

  for (const { passkey, row, amr } of [bound, synced, synced]) {
    const used = await use(passkey.use(await ask()))
    t.match(used, { amr, user: { id: user.id }, passkey: { id: row.id, used_at: ctx.clock.now() } })
  }
  const second = await ask(user.id)
  t.equal(second.allowCredentials?.length, 2, 'as a second factor, those of the user are asked for')
  t.match(await use(bound.passkey.use(second), user.id), { amr: 'hwk user mfa' })
  t.strictSame((await ask()).allowCredentials, undefined, 'nobody is told which ones there are')

  const entries = (await latestAuditEntries(ctx.db, {}, 10)).filter(({ event }) =>
    event.startsWith('passkey'),
  )
  t.strictSame(
    entries.map(({ event }) => event),
    ['passkey_added', 'passkey_added'],
  )
})

t.test('WR-9 keys of each kind that is asked for are taken', async t => {
  const { options, add, setUp, ask, use } = await world(t)
  for (const kind of ['ES256', 'EdDSA', 'RS256'] as const) {
    const { passkey } = await setUp(softAuthenticator(origin, { kind }))
    t.match(await use(passkey.use(await ask())), { amr: 'hwk user mfa' }, kind)
  }
  const { response } = softAuthenticator(origin, { kind: 'ES384' satisfies KeyKind }).create(await options())
  t.equal(problemOf(await add(response)), 'invalid', 'and no others')

  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const [atX, atY] = [Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
  const n = Buffer.from(small.n ?? '', 'base64url')
  const e = Buffer.of(1, 0, 1)
  const keys: readonly (readonly [string, CoseMembers, string?])[] = [
    ['one that is a key', { 1: 2, 3: -7, '-1': 1, '-2': atX, '-3': atY }, 'none'],
    ['one of another type', { 1: 1, 3: -7, '-1': 1, '-2': atX, '-3': atY }],
    ['one on another curve', { 1: 2, 3: -7, '-1': 2, '-2': atX, '-3': atY }],
    ['one that is no point of the curve', { 1: 2, 3: -7, '-1': 1, '-2': atX, '-3': atX }],
    ['one that lacks a half', { 1: 2, 3: -7, '-1': 1, '-2': atX, '-3': 1 }],
    ['Ed25519 of another type', { 1: 2, 3: -8, '-1': 6, '-2': atX }],
    ['Ed25519 on another curve', { 1: 1, 3: -8, '-1': 7, '-2': atX }],
    ['RSA of another type', { 1: 2, 3: -257, '-1': Buffer.alloc(256, 255), '-2': e }],
    ['RSA that is too small', { 1: 3, 3: -257, '-1': n, '-2': e }],
  ]
  for (const [title, members, problem = 'invalid'] of keys) {
    const made = softAuthenticator(origin).create(await options(), { cose: coseWith(members) })
    t.equal(problemOf(await add(made.response)), problem, title)
  }
  for (const cose of [Buffer.of(0x83, 1, 2, 3), Buffer.of(0xa5, 1)]) {
    const made = softAuthenticator(origin).create(await options(), { cose })
    t.equal(problemOf(await add(made.response)), 'invalid', cose.toString('hex'))
  }
})

/** What may be wrong with client data and authenticator data alike, and what is answered. */
const wrongAlike: readonly (readonly [string, AnswerChanges, string])[] = [
  ['WR-2 WA-3 the challenge of somebody else', { clientData: { challenge: 'AAAA' } }, 'invalid'],
  ['WR-2 WA-3 no challenge', { clientData: { challenge: undefined } }, 'invalid'],
  ['WR-3 WA-4 another origin', { clientData: { origin: 'https://as.example.evil' } }, 'invalid'],
  ['WR-3 WA-4 another port', { clientData: { origin: 'https://as.example:8443' } }, 'invalid'],
  ['WR-3 WA-4 the origin without its scheme', { clientData: { origin: 'as.example' } }, 'invalid'],
  ['WR-4 WA-5 a frame in a page of somebody else', { clientData: { crossOrigin: true } }, 'invalid'],
  [
    'WR-4 WA-5 a frame, which says so',
    { clientData: { crossOrigin: true, topOrigin: 'https://evil.example' } },
    'invalid',
  ],
  ['WR-4 WA-5 a page above that is none', { clientData: { topOrigin: 'https://evil.example' } }, 'invalid'],
  ['WR-5 WA-6 another RP ID', { rpId: 'evil.example' }, 'invalid'],
  ['WR-5 WA-6 a parent as the RP ID', { rpId: 'example' }, 'invalid'],
  ['WR-6 WA-7 nobody present', { flags: 4 }, 'invalid'],
  ['WR-7 WA-8 nobody verified', { flags: 1 }, 'unverified'],
  ['WR-8 WA-9 backed up, which it cannot be', { flags: 1 | 4 | 16 }, 'invalid'],
  ['bytes after its data', { leftover: Buffer.of(0) }, 'invalid'],
  ['another type', { type: 'password' }, 'invalid'],
  ['another raw id', { rawId: 'AAAA' }, 'invalid'],
  ['an id that is longer than any', { id: 'A'.repeat(1368) }, 'invalid'],
  ['an id that is no base64url', { id: 'a+b=' }, 'invalid'],
]

t.test('what is wrong with a registration is refused', async t => {
  const { ctx, user, options, add } = await world(t)
  const refused = async (title: string, changes: Parameters<typeof made.create>[1], problem = 'invalid') => {
    t.equal(problemOf(await add(made.create(await options(), changes).response)), problem, title)
  }
  const made = softAuthenticator(origin)
  for (const [title, changes, problem] of wrongAlike) await refused(title, changes, problem)
  await refused('WR-1 the type of an assertion', { clientData: { type: 'webauthn.get' } })
  await refused('WR-10 an attestation that is none, and says something', {
    attStmt: Buffer.from('a163616c6726', 'hex'),
  })
  await refused('WR-10 an attestation of no known form', { fmt: 'made up' })
  await refused('the id of another credential', { id: randomBytes(32).toString('base64url') })
  await refused('WR-11 an id that is longer than any', { credentialId: randomBytes(1024) })
  await refused('no id', { credentialId: Buffer.alloc(0) })
  // {"alg": -7, "sig": h'00'}
  await refused('WR-10 an attestation of its own key, which it has not signed', {
    fmt: 'packed',
    attStmt: Buffer.from('a263616c67266373696741' + '00', 'hex'),
  })
  t.strictSame(await listPasskeys(ctx.db, user.id), [], 'nothing was stored')
  for (const text of ['', '{}', 'null', '[]', '{"id":1}', '{"response":{}}', '{"response":1,"id":"AA"}'])
    t.equal(problemOf(await add(text)), 'invalid', text)
})

t.test('a registration whose thread ends is a fault of ours, and the next one has another', async t => {
  const { options } = await world(t)
  const { response } = softAuthenticator(origin).create(await options())
  const answer = readAnswer(response)
  if (!answer) throw new Error('it is an answer')
  // A copy of the module, which has begun no thread yet.
  const again = '../../src/factors/registration.ts?again'
  const { verifyRegistration }: typeof import('../../src/factors/registration.ts') = await import(again)
  const expected = { origin, rpId: 'as.example' }
  process.once('worker', (worker: Worker) => void worker.terminate())
  const both = await Promise.allSettled([0, 1].map(() => verifyRegistration(answer, expected)))
  t.match(both, Array(2).fill({ status: 'rejected', reason: { status: 503 } }))
  t.match(await verifyRegistration(answer, expected), { counter: 1, isSynced: false })
})

t.test('WR-13 WA-13 what extensions say, of which none is asked for, changes nothing', async t => {
  const { options, add, ask, use } = await world(t)
  const said = (text: string) =>
    JSON.stringify({ ...JSON.parse(text), clientExtensionResults: { appid: true, credProps: { rk: false } } })
  // {"credProtect": 1}, behind all else.
  const extensions = Buffer.from('a16b6372656450726f7465637401', 'hex')
  const made = softAuthenticator(origin).create(await options(), { flags: 1 | 4 | 128, leftover: extensions })
  t.equal(problemOf(await add(said(made.response))), 'none')
  const answer = made.passkey.use(await ask(), { flags: 1 | 4 | 128, leftover: extensions })
  t.match(await use(said(answer)), { amr: 'hwk user mfa' })
})

t.test('what is wrong with an assertion is refused', async t => {
  const { ctx, server, user, setUp, ask, use } = await world(t)
  const { passkey } = await setUp()
  const refused = async (title: string, changes: AnswerChanges, problem = 'invalid') => {
    t.equal(problemOf(await use(passkey.use(await ask(), changes))), problem, title)
  }
  for (const [title, changes, problem] of wrongAlike) await refused(title, changes, problem)
  await refused('WA-2 the type of a registration', { clientData: { type: 'webauthn.create' } })
  await refused('WA-11 another signature', { tamper: true })
  await refused('the new credential of a registration', { flags: 1 | 4 | 64 })
  await refused('extensions, of which there are none', { flags: 1 | 4 | 128 })
  await refused('extensions that are no map', { flags: 1 | 4 | 128, leftover: Buffer.of(1) })
  await refused('bytes after its extensions', { flags: 1 | 4 | 128, leftover: Buffer.of(0xa0, 0) })
  await refused('WA-10 one that may be on several devices, and could not before', { flags: 1 | 4 | 8 })
  await refused('WA-1 no user handle, where nobody is known', { userHandle: null })
  await refused('WA-1 the user handle of somebody else', {
    userHandle: randomBytes(16).toString('base64url'),
  })
  await refused('WA-1 a passkey that nobody has', { id: randomBytes(32).toString('base64url') }, 'unknown')
  t.match(
    await use(passkey.use(await ask(user.id), { userHandle: null }), user.id),
    { amr: 'hwk user mfa' },
    'where the user is known, authenticators need not say it',
  )
  await ask(user.id).then(async asked =>
    t.equal(problemOf(await use(passkey.use(asked, { userHandle: 'AAAA' }), user.id)), 'invalid'),
  )

  const bob = await ownerAt(server, await server.user('bob'))
  const other = await bob.setUp()
  t.equal(
    problemOf(await use(other.passkey.use(await ask(user.id)), user.id)),
    'invalid',
    'WA-1 as a second factor, the passkey of somebody else',
  )
  t.equal(
    problemOf(await use(other.passkey.use(await ask(user.id)))),
    'expired',
    'a challenge of a second factor',
  )
  t.equal(problemOf(await use(other.passkey.use(await ask()), user.id)), 'expired', 'and one that is of none')
  const row = (await listPasskeys(ctx.db, user.id))[0]
  await ctx.db.sql
    .updateTable('passkeys')
    .set({ public_key: other.row.public_key })
    .where('credential_id', '=', row?.credential_id ?? Buffer.alloc(0))
    .execute()
  t.equal(problemOf(await use(passkey.use(await ask()))), 'invalid', 'WA-11 by the key of another one')
  for (const text of ['', '{}', 'null', '{"id":"AA","response":{"clientDataJSON":"AA"}}'])
    t.equal(problemOf(await use(text)), 'invalid', text)
  for (const [name, value] of [
    ['authenticatorData', undefined],
    ['authenticatorData', 'AAAA'],
    ['authenticatorData', 'a+b='],
    ['signature', undefined],
    ['signature', 'a+b='],
  ] as const) {
    const answer = JSON.parse(passkey.use(await ask()))
    const response = { ...answer.response, [name]: value }
    const problem = problemOf(await use(JSON.stringify({ ...answer, response })))
    t.equal(problem, 'invalid', `${name} ${value}`)
  }
})

await forEachEngine(t, 'invariant 16: a challenge counts once, here and now', async (t, env) => {
  const { server, ctx, owner, options, add, setUp, ask, use } = await world(t, env)
  const { passkey } = await setUp()
  const beside = await startServer(t, besideEnv(server))
  const asked = await ask()
  const answer = passkey.use(asked)
  t.equal(problemOf(await usePasskey(ctx, answer, { ...place, browser: 'another' })), 'expired')
  const both = await Promise.all([use(answer), usePasskey(beside.ctx, answer, place)])
  t.strictSame(both.map(problemOf).sort(), ['none', 'used'], 'at two instances at once')
  t.equal(problemOf(await use(passkey.use(asked))), 'used', 'answered anew')

  const many = await Promise.all(Array.from({ length: 5 }, () => ask()))
  const all = await Promise.all(many.map(one => use(passkey.use(one))))
  t.strictSame(
    all.map(problemOf),
    all.map(() => 'none'),
    'challenges that are answered at once all count',
  )

  const [late, inTime] = [await ask(), await ask()]
  server.tick(challengeSeconds - 1)
  t.equal(problemOf(await use(passkey.use(inTime))), 'none', 'in its last second')
  server.tick(1)
  t.equal(problemOf(await use(passkey.use(late))), 'expired', 'and after it')
  server.tick(3 * challengeSeconds)
  await use(passkey.use(await ask()))
  const [row] = await listPasskeys(ctx.db, (await owner()).user.id)
  t.equal(row?.spent.split(' ').length, 1, 'what is over is forgotten')
  server.tick(-2 * challengeSeconds)
  t.equal(problemOf(await use(passkey.use(late))), 'expired', 'a clock that was set back makes nothing young')

  const set = await options()
  const [first, second] = [softAuthenticator(origin).create(set), softAuthenticator(origin).create(set)]
  t.equal(problemOf(await add(first.response)), 'none')
  t.equal(problemOf(await add(first.response)), 'used', 'that of a set-up too')
  t.equal(problemOf(await add(second.response)), 'used', 'whatever passkey it is')
  t.equal(
    problemOf(await use(first.passkey.use({ challenge: set.challenge }))),
    'expired',
    'it logs nobody in',
  )
  const asSetUp = softAuthenticator(origin).create({ ...set, challenge: (await ask()).challenge })
  t.equal(problemOf(await add(asSetUp.response)), 'expired', 'nor does one to log in set anything up')
  const twoAtOnce = await options()
  const race = await Promise.all([0, 1].map(() => add(softAuthenticator(origin).create(twoAtOnce).response)))
  t.strictSame(race.map(problemOf).sort(), ['none', 'used'])
})

await forEachEngine(t, 'a passkey is set up by its owner alone, in this browser', async (t, env) => {
  const { server, ctx, owner, options, add } = await world(t, env)
  const bob = await ownerAt(server, await server.user('bob'))
  const made = softAuthenticator(origin).create(await options())
  t.equal(problemOf(await bob.add(made.response)), 'expired', 'a challenge of somebody else')
  t.equal(problemOf(await addPasskey(ctx, await owner(), made.response, 'another', '')), 'expired')
  const before = await owner()
  await ctx.db.sql.updateTable('users').set({ epoch: 1 }).where('id', '=', before.user.id).execute()
  t.equal(problemOf(await add(made.response)), 'expired', 'invariant 17: the epoch of before')
  t.equal(
    problemOf(await addPasskey(ctx, before, made.response, browser, '')),
    'expired',
    'also where it was raised while the passkey was verified',
  )
  const again = softAuthenticator(origin).create(await options())
  t.equal(problemOf(await add(again.response)), 'none')
  const same = softAuthenticator(origin).create(await bob.options(), {
    credentialId: again.passkey.credentialId,
  })
  t.equal(problemOf(await bob.add(same.response)), 'exists', 'WR-12 one that another user has')
  await ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('username', '=', 'ada').execute()
  const used = await usePasskey(ctx, again.passkey.use(await requestOptions(ctx, { browser })), place)
  t.equal(problemOf(used), 'invalid', 'who is disabled does not log in')
})

await forEachEngine(t, 'WA-12 a counter that goes back is recorded, and shuts nobody out', async (t, env) => {
  const { ctx, setUp, ask, use, user } = await world(t, env)
  const { passkey } = await setUp()
  passkey.counter = 7
  t.equal(problemOf(await use(passkey.use(await ask()))), 'none')
  for (const counter of [8, 3, 0])
    t.match(await use(passkey.use(await ask(), { counter })), { amr: 'hwk user mfa' }, `${counter} after 8`)
  t.equal((await listPasskeys(ctx.db, user.id))[0]?.counter, 8, 'the highest one stays')
  const told = (await latestAuditEntries(ctx.db, {}, 10))
    .filter(({ event }) => event === 'passkey_counter_back')
    .map(({ detail, user_id }) => ({ ...JSON.parse(detail ?? ''), isOf: user_id?.equals(user.id) }))
  t.match(told.map(({ presented, current, isOf }) => [presented, current, isOf]).sort(), [
    [0, 8, true],
    [3, 8, true],
    [8, 8, true],
  ])
  const uncounted = await setUp(softAuthenticator(origin, { counts: false }))
  await use(uncounted.passkey.use(await ask()))
  await use(uncounted.passkey.use(await ask()))
  const all = (await latestAuditEntries(ctx.db, {}, 20)).filter(
    ({ event }) => event === 'passkey_counter_back',
  )
  t.equal(all.length, 3, 'an authenticator without a counter has none that goes back')
})

await forEachEngine(t, 'passkeys are named, renamed and removed by their owner', async (t, env) => {
  const { server, ctx, owner, options, add, setUp, ask, use, user } = await world(t, env)
  const { passkey, row } = await setUp()
  const name = 'x'.repeat(80)
  await add(softAuthenticator(origin).create(await options()).response, ` \u202e${name}\n`)
  const bob = await ownerAt(server, await server.user('bob'))
  t.equal(await renamePasskey(ctx, await bob.owner(), row.id, 'mine'), false, 'not by others')
  t.equal(await renamePasskey(ctx, await owner(), row.id, 'Key ring'), true)
  const shown = passkeyDocuments(await listPasskeys(ctx.db, user.id))
  t.match(
    [...shown].sort((a, b) => a.name.length - b.name.length),
    [
      { name: 'Key ring', rp_id: 'as.example', synced: false, used_at: null },
      { name: 'x'.repeat(60), rp_id: 'as.example', synced: false, used_at: null },
    ],
  )
  t.equal(await removeFactor(ctx, await bob.owner(), row.id), 'unknown', 'not by others')
  const asked = await ask()
  t.equal(await removeFactor(ctx, await owner(), row.id), 'removed')
  t.equal(await removeFactor(ctx, await owner(), row.id), 'unknown')
  t.match(await use(passkey.use(asked)), {
    problem: 'unknown',
    credentialId: passkey.credentialId.toString('base64url'),
  })
  const another = await setUp()
  await ctx.db.sql.updateTable('users').set({ password_hash: '' }).where('id', '=', user.id).execute()
  const ids = (await listPasskeys(ctx.db, user.id)).map(({ id }) => id)
  const removed = await Promise.all(ids.map(async id => removeFactor(ctx, await owner(), id)))
  t.strictSame(
    removed.sort(),
    ['last_way_in', 'removed'],
    'the last way in stays, also when both are removed at once',
  )
  t.ok(another)
})

t.test('a user has no more passkeys than browsers can be told of', async t => {
  const { ctx, options, add, setUp } = await world(t)
  const { row } = await setUp()
  const more = Array.from({ length: 49 }, () => ({
    ...row,
    id: randomBytes(16),
    credential_id: randomBytes(16),
  }))
  await ctx.db.sql.insertInto('passkeys').values(more).execute()
  t.equal(problemOf(await add(softAuthenticator(origin).create(await options()).response)), 'too_many')
})

t.test('a challenge is of this issuer and its root key alone', async t => {
  const { setUp, ask, use } = await world(t)
  const elsewhere = await world(t)
  const { passkey } = await setUp()
  t.equal(problemOf(await use(passkey.use(await elsewhere.ask()))), 'invalid')
  const asked = await ask()
  const changed = asked.challenge.replace(/.(?=.$)/, last => (last === 'A' ? 'B' : 'A'))
  t.equal(problemOf(await use(passkey.use({ ...asked, challenge: changed }))), 'invalid')
})

t.test('passkeys are possible where the issuer has a name', async t => {
  for (const issuer of ['https://as.example', 'https://as.example/a', 'http://localhost:9000'])
    t.equal(passkeysPossible({ issuer }), true, issuer)
  for (const issuer of ['http://127.0.0.1:9000', 'http://[::1]:9000', 'https://10.0.0.1'])
    t.equal(passkeysPossible({ issuer }), false, issuer)
})

t.test('a refusal is told to the log and the audit trail, without what was sent', async t => {
  const { server, ctx, user, setUp, ask, use } = await world(t)
  const { passkey } = await setUp()
  const answer = passkey.use(await ask(), { tamper: true })
  await use(answer)
  await use(passkey.use(await ask(), { id: randomBytes(8).toString('base64url') }))
  const told = server.log.filter(({ event }) => event === 'log_in_failed')
  t.match(told, [
    { problem: 'invalid', reason: 'the passkey is refused', address: caller.address, client_id: 'web' },
    { problem: 'unknown', reason: 'the passkey is unknown' },
  ])
  t.notMatch(JSON.stringify(server.log), JSON.parse(answer).response.signature)
  t.equal(ctx.counts.signIns.failed, 2)
  t.ok(ctx.audit.waiting() >= 2)
  t.ok(user)
})
