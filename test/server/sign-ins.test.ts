import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { listAuditEntries } from '../../db/installation/audit.ts'
import type { UserTable } from '../../db/schema.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import { findAllowed, rememberConsent } from '../../src/authorization/consents.ts'
import type { Context } from '../../src/context.ts'
import { endSignIn, withdrawConsent } from '../../src/endings/end-sign-ins.ts'
import { endSessionsOfUser } from '../../src/endings/end.ts'
import { verifyLogIn } from '../../src/factors/log-in.ts'
import { formatUuid, hashSecret } from '../../src/protocol/secrets.ts'
import { openSignInCookie, sealSignInCookie } from '../../src/protocol/sign-in-cookie.ts'
import { byUser } from '../../src/record/record.ts'
import { findSignIn, startSignIn, type SignInStart, type StartedSignIn } from '../../src/sessions/sign-in.ts'
import { byCommand } from '../helpers/by-command.ts'
import { codeFor, forLogIns } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { besideEnv, startedAt, startServer } from '../helpers/server.ts'

const home = { address: '192.0.2.1', requestId: 'r1' }
const away = { address: '192.0.2.2', requestId: 'r2' }

/** A server, a user, and what the user's browser does at it. */
async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  const { ctx } = server
  const ada = await server.user('ada')
  const rowOf = async (id: Buffer): Promise<UserTable> => {
    const user = await findUserById(ctx.db, id)
    if (!user) throw new Error('the user is gone')
    return user
  }
  const start = async (more: Partial<SignInStart> = {}): Promise<StartedSignIn | undefined> =>
    startSignIn(ctx, {
      user: await rowOf(ada.id),
      caller: home,
      userAgent: 'Lynx/2.9',
      amr: 'pwd',
      isPersistent: false,
      browser: null,
      replaces: undefined,
      knownSources: undefined,
      ...more,
    })
  /** Logs in, in this browser. */
  const logIn = async (
    more: Partial<SignInStart> = {},
  ): Promise<StartedSignIn & { readonly cookie: string }> => {
    const started = await start(more)
    if (started?.cookie === undefined) throw new Error('it has not started')
    return { ...started, cookie: started.cookie }
  }
  const find = (cookie: string | undefined, on: Context = ctx) => findSignIn(on, cookie, away)
  return { server, ctx, ada, rowOf, start, logIn, find }
}

/** What the audit trail tells of sign-ins and the sessions of people, the oldest first. */
async function told({ db }: { readonly db: Database }): Promise<string[]> {
  const lines: string[] = []
  for await (const { event, detail } of listAuditEntries(db, {})) {
    const { reason } = JSON.parse(detail ?? '{}')
    if (/^(sign_in|session_revoked|consent)/.test(event))
      lines.push(reason === undefined ? event : `${event}: ${reason}`)
  }
  return lines
}

const withChecksum = (text: string): string => {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  let [rest, sum] = [crc32(text), '']
  for (let i = 0; i < 6; i++) [sum, rest] = [digits.charAt(rest % 62) + sum, Math.floor(rest / 62)]
  return text + sum
}

await forEachEngine(t, 'a browser is known by its cookie, for as long as its user wants', async (t, env) => {
  const { server, ctx, ada, logIn, find } = await world(t, env)
  const { signIn, cookie } = await logIn()
  t.match(cookie, /^mm_si_[\w-]{72}[0-9A-Za-z]{6}$/)
  t.match(signIn, {
    user: { id: ada.id, username: 'ada' },
    auth_time: startedAt,
    amr: 'pwd',
    expires_at: startedAt + 12 * 3600,
    is_persistent: 0,
    first_address: home.address,
    last_address: home.address,
    user_agent: 'Lynx/2.9',
  })
  t.strictSame(await find(cookie), signIn)
  t.equal(await find(undefined), undefined, 'no cookie')
  t.equal(await find(''), undefined)
  const { is_persistent, expires_at } = (await logIn({ isPersistent: true })).signIn
  t.match({ is_persistent, expires_at }, { is_persistent: 1, expires_at: startedAt + 30 * 86_400 })

  const opened = openSignInCookie(ctx.rootKeys.signInKeyOf, cookie)
  if (opened.kind !== 'genuine') throw new Error('unreachable')
  const [row] = await ctx.db.sql.selectFrom('sign_ins').selectAll().where('id', '=', signIn.id).execute()
  t.strictSame(row?.secret_hash, hashSecret(opened.cookie.secret), 'the database has the hash alone (7)')

  server.tick(59)
  t.match(await find(cookie), { used_at: startedAt, last_address: home.address })
  server.tick(1)
  t.match(await find(cookie), { used_at: startedAt + 60, last_address: away.address }, 'noted once a minute')
  t.match(await find(cookie), { used_at: startedAt + 60, last_address: away.address })
  server.tick(12 * 3600 - 61)
  t.ok(await find(cookie))
  server.tick(1)
  t.equal(await find(cookie), undefined, 'it has run out')
})

t.test('what browsers call themselves is cut, and cannot control a terminal', async t => {
  const { logIn } = await world(t)
  const { signIn } = await logIn({ userAgent: `\u001b[2J\u2028${'x'.repeat(300)}` })
  t.equal(signIn.user_agent, `[2J${'x'.repeat(197)}`)
  t.equal((await logIn({ userAgent: undefined })).signIn.user_agent, '')
})

t.test('invariant 8: a forged cookie, and any other text, costs no access to the database', async t => {
  const { ctx, logIn, find } = await world(t)
  const { cookie } = await logIn()
  let queries = 0
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => {
      queries++
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const { db } = ctx
  const counted: Context = {
    ...ctx,
    db: {
      ...db,
      sql: db.sql.withPlugin(counting),
      read: query => {
        queries++
        return db.read(query)
      },
      transact: work => {
        queries++
        return db.transact(work)
      },
    },
  }
  const made = { rootKeyId: ctx.rootKeys.currentId, signInId: randomBytes(16), secret: randomBytes(16) }
  const refreshKey = sealSignInCookie(ctx.rootKeys.macKeyOf, made)
  const body = Buffer.from(cookie.slice(6, -6), 'base64url')
  const texts: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['a stranger', 'x'.repeat(5000)],
    ['another MAC', sealSignInCookie(() => randomBytes(32), made)],
    ['the MAC of a refresh token', refreshKey],
    ['another checksum', `${cookie.slice(0, -1)}${cookie.endsWith('0') ? '1' : '0'}`],
    ['one character less', cookie.slice(0, -1)],
    ['another prefix', cookie.replace('mm_si_', 'mm_rt_')],
    ['a later version', withChecksum(`mm_si_${Buffer.of(2, ...body.subarray(1)).toString('base64url')}`)],
    [
      'a version that never was',
      withChecksum(`mm_si_${Buffer.of(0, ...body.subarray(1)).toString('base64url')}`),
    ],
    [
      'a longer body',
      withChecksum(`mm_si_${Buffer.concat([body, body.subarray(0, 3)]).toString('base64url')}`),
    ],
  ]
  for (const [name, text] of texts) t.equal(await find(text, counted), undefined, name)
  t.equal(queries, 0)
  t.ok(await find(cookie, counted))
  t.ok(queries > 0)

  const never = sealSignInCookie(ctx.rootKeys.signInKeyOf, made)
  t.equal(await find(never, counted), undefined, 'a genuine one of a row that is not there')
  const longGone = sealSignInCookie(() => randomBytes(32), { ...made, rootKeyId: 'ffffffff' })
  t.equal(await find(longGone, counted), undefined, 'one of a root key that never was')
})

await forEachEngine(
  t,
  'a log-in in the same browser gives it another cookie (invariant 14)',
  async (t, env) => {
    const { server, ctx, logIn, find } = await world(t, env)
    const first = await logIn({ isPersistent: true })
    server.tick(100)
    const second = await logIn({ amr: 'pwd otp', replaces: first.signIn, caller: away })
    t.equal(await find(first.cookie), undefined, 'the one of before is worth nothing')
    t.match(await find(second.cookie), {
      id: first.signIn.id,
      auth_time: startedAt + 100,
      amr: 'pwd otp',
      created_at: startedAt,
      first_address: home.address,
      last_address: away.address,
      is_persistent: 0,
      expires_at: first.signIn.expires_at,
    })
    t.not(second.cookie, first.cookie)
    t.strictSame(await told(ctx), ['sign_in_started', 'sign_in_renewed'])
    t.match(ctx.counts.signIns, { started: 1, renewed: 1, ended: 0 })
  },
)

await forEachEngine(
  t,
  'fixation: a cookie that a stranger has put there is never logged in',
  async (t, env) => {
    const { server, rowOf, logIn, find } = await world(t, env)
    const mallory = await rowOf((await server.user('mallory')).id)
    const planted = await logIn({ user: mallory, caller: away })
    const { signIn, cookie } = await logIn({ replaces: planted.signIn })
    t.notSame(signIn.id, planted.signIn.id)
    t.equal(await find(planted.cookie), undefined)
    t.match(await find(cookie), { user: { username: 'ada' } })
  },
)

await forEachEngine(
  t,
  'of step ups of one browser at once one cookie survives, and its sign-in serves all of them (invariant 14)',
  async (t, env) => {
    const { server, ctx, ada, rowOf, logIn, find } = await world(t, env)
    const beside = await startServer(t, { ...env, ...besideEnv(server) })
    for (let round = 0; round < 5; round++) {
      const { signIn, cookie: before } = await logIn()
      const start: SignInStart = {
        user: await rowOf(ada.id),
        caller: home,
        userAgent: 'Lynx',
        amr: 'pwd',
        isPersistent: false,
        browser: null,
        replaces: signIn,
        knownSources: undefined,
      }
      const shown = ['pwd', 'pwd otp mfa', 'pwd', 'hwk user mfa']
      const started = await Promise.all(
        [ctx, beside.ctx, ctx, beside.ctx].map((on, i) => startSignIn(on, { ...start, amr: shown[i] ?? '' })),
      )
      t.strictSame(
        started.map(one => one?.signIn.amr),
        shown,
        'each answers with what it has shown itself',
      )
      const cookies = started.flatMap(one => one?.cookie ?? [])
      t.equal(cookies.length, 1, 'one answer sets a cookie')
      t.match(await find(cookies[0]), { id: signIn.id })
      t.strictSame(
        started.map(one => one?.signIn.id),
        [signIn.id, signIn.id, signIn.id, signIn.id],
      )
      t.equal(await find(before), undefined)
    }
  },
)

await forEachEngine(t, 'a log-in while the browser logs out begins anew', async (t, env) => {
  const { ctx, logIn, find } = await world(t, env)
  const { signIn } = await logIn()
  t.equal(await endSignIn(byUser(ctx, signIn.user_id, home), signIn, 'log-out'), true)
  const next = await logIn({ replaces: signIn })
  t.notSame(next.signIn.id, signIn.id)
  t.ok(await find(next.cookie))
})

await forEachEngine(
  t,
  'invariant 17: a log-in during a password change yields no sign-in, and the change ends those of before',
  async (t, env) => {
    const { ctx, ada, rowOf, start, logIn, find } = await world(t, env)
    const { signIn, cookie } = await logIn()
    const user = await rowOf(ada.id)
    const change = async () => {
      const password = await ctx.users.passwords.hash('another one, and long')
      await endSessionsOfUser(byCommand(ctx), ada.id, { reason: 'password changed', password })
    }
    await change()
    t.equal(await start({ user }), undefined)
    t.equal(await start({ user, replaces: signIn }), undefined, 'nor does a step up')
    t.equal(await find(cookie), undefined)
    t.strictSame(await told(ctx), ['sign_in_started'])

    const late = await rowOf(ada.id)
    const [started] = await Promise.all([start({ user: late }), change()])
    t.equal(await find(started?.cookie), undefined, 'at the same moment')
    const disabled = await rowOf(ada.id)
    await endSessionsOfUser(byCommand(ctx), ada.id, { reason: 'user disabled' })
    t.equal(await start({ user: disabled }), undefined)
    t.equal(await start({ user: await rowOf(ada.id) }), undefined, 'not even as the user is now')
  },
)

/** A session of the user that ends with this sign-in, and its client. */
async function sessionOf({ server, ada }: Awaited<ReturnType<typeof world>>, started: StartedSignIn) {
  const client = await server.client(`app-${randomBytes(4).toString('hex')}`, {
    isPublic: true,
    ...forLogIns,
  })
  const { form, sessionId } = await codeFor(server, client, ada, { signIn: started.signIn, scope: 'read' })
  const response = await server.post('/token', { ...form, ...client.form })
  if (response.statusCode !== 200) throw new Error(response.body)
  return { client, sessionId, token: response.json().refresh_token as string }
}

await forEachEngine(
  t,
  'log-out ends the sessions of the sign-in: no refresh succeeds after it (4, invariant 14)',
  async (t, env) => {
    const w = await world(t, env)
    const { server, ctx, logIn, find } = w
    const beside = await startServer(t, { ...env, ...besideEnv(server) })
    await beside.follow()
    for (let round = 0; round < 3; round++) {
      const started = await logIn()
      const { client, sessionId, token } = await sessionOf(w, started)
      await beside.follow()
      const present = (on: typeof server, refresh_token: string) =>
        on.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })
      const refreshes = [server, beside, server, beside].map(on => present(on, token))
      const ended = await endSignIn(byUser(ctx, w.ada.id, home), started.signIn, 'log-out')
      t.equal(ended, true)
      const { generation } = (await findSession(ctx.db, sessionId)) ?? {}
      const [later, alsoLater] = await Promise.all([present(server, token), present(beside, token)])
      t.strictSame([later.statusCode, alsoLater.statusCode], [400, 400])
      for (const answer of await Promise.all(refreshes)) {
        if (answer.statusCode !== 200) continue
        t.equal(
          (await present(server, answer.json().refresh_token)).statusCode,
          400,
          'nor with a newer token',
        )
      }
      t.match(await findSession(ctx.db, sessionId), { generation, revoke_reason: 'log-out' })
      t.equal(await find(started.cookie), undefined)
      t.equal(await endSignIn(byUser(ctx, w.ada.id, home), started.signIn, 'log-out'), false, 'once')
    }
    t.equal(ctx.counts.revocations.user, 3)
    t.match((await told(ctx)).slice(-2), ['sign_in_ended: log-out', 'session_revoked: log-out'])
  },
)

await forEachEngine(
  t,
  'the status lists and the log tell of sessions that ended with a sign-in',
  async (t, env) => {
    const w = await world(t, env)
    const { server, ctx, logIn } = w
    const started = await logIn()
    const { sessionId } = await sessionOf(w, started)
    await endSignIn(byUser(ctx, w.ada.id, home), started.signIn, 'log-out')
    await server.follow()
    const { status_position: position = 0 } = (await findSession(ctx.db, sessionId)) ?? {}
    const feed = await ctx.db.sql.selectFrom('revocations').selectAll().execute()
    t.match(feed, [{ session_id: sessionId, status_position: position }])
    t.match(
      server.log.find(({ event }) => event === 'session_revoked'),
      { sid: formatUuid(sessionId), reason: 'log-out', by: 'user', sub: w.ada.sub, at: startedAt },
      'a restore ends it again',
    )
  },
)

await forEachEngine(t, 'another user in the browser ends the sessions of the one before', async (t, env) => {
  const w = await world(t, env)
  const { server, ctx, rowOf, logIn, find } = w
  const before = await logIn()
  const { sessionId } = await sessionOf(w, before)
  const bob = await rowOf((await server.user('bob')).id)
  const after = await logIn({ user: bob, replaces: before.signIn })
  t.match(await findSession(ctx.db, sessionId), { revoke_reason: 'another user logged in' })
  t.equal(await find(before.cookie), undefined)
  t.match(await find(after.cookie), { user: { username: 'bob' } })
  t.strictSame(await told(ctx), [
    'sign_in_started',
    'sign_in_started',
    'sign_in_ended: another user logged in',
    'session_revoked: another user logged in',
  ])
})

await forEachEngine(t, 'one browser too many ends the one unused for longest', async (t, env) => {
  const w = await world(t, { ...env, MINTMARK_SESSIONS_PER_USER: '2' })
  const { server, ctx, logIn, find } = w
  const first = await logIn()
  const { sessionId } = await sessionOf(w, first)
  server.tick(60)
  const second = await logIn()
  server.tick(60)
  const stepUp = await logIn({ replaces: second.signIn })
  server.tick(60)
  t.ok(await find(first.cookie), 'a step up is no other browser')
  const third = await logIn()
  t.equal(await find(stepUp.cookie), undefined)
  t.match(await findSession(ctx.db, sessionId), { revoked_at: null })
  server.tick(60)
  await find(third.cookie)
  const fourth = await logIn()
  t.match(await findSession(ctx.db, sessionId), { revoke_reason: 'limit' })
  t.equal(await find(first.cookie), undefined)
  for (const { cookie } of [third, fourth]) t.ok(await find(cookie))
  t.strictSame((await told(ctx)).slice(-5), [
    'sign_in_started',
    'sign_in_ended: limit',
    'sign_in_started',
    'sign_in_ended: limit',
    'session_revoked: limit',
  ])
  t.equal(ctx.counts.revocations.limit, 1)
})

await forEachEngine(t, 'a consent is remembered and taken back', async (t, env) => {
  const w = await world(t, env)
  const { server, ctx, ada, rowOf, logIn } = w
  const { client: app, sessionId } = await sessionOf(w, await logIn())
  const client = (await ctx.clients.registry.findClient(app.id)) ?? { id: app.id, epoch: -1 }
  const key = { userId: ada.id, clientId: app.id, resource: null }
  const consent = { user: await rowOf(ada.id), client, resource: null, scope: ['read'] }
  t.equal(await findAllowed(ctx, key), undefined)
  t.match(await rememberConsent(ctx, consent, home), { scope: 'read' })
  t.match(await findAllowed(ctx, key), { scope: 'read' })
  const outdated = { ...consent, client: { ...client, epoch: -1 } }
  await t.rejects(rememberConsent(ctx, outdated, home), { code: 'temporarily_unavailable' })
  t.equal(await withdrawConsent(byUser(ctx, ada.id, home), key), true)
  t.equal(await withdrawConsent(byUser(ctx, ada.id, home), key), false)
  t.equal(await findAllowed(ctx, key), undefined)
  t.match(await findSession(ctx.db, sessionId), { revoke_reason: 'consent withdrawn' })
  t.strictSame((await told(ctx)).slice(1), [
    'consent_granted',
    'consent_withdrawn',
    'session_revoked: consent withdrawn',
  ])
  t.ok(server.log.some(({ event, reason }) => event === 'session_revoked' && reason === 'consent withdrawn'))
})

t.test('wrong passwords at the pages are counted, and those at clients are not', async t => {
  const { server, ctx, ada } = await world(t)
  const { id } = await server.client('app', { isPublic: true })
  const client = await ctx.clients.registry.findClient(id)
  if (!client) throw new Error('unreachable')
  const caller = { ...away, source: away.address }
  const guess = (place: 'page' | 'client') =>
    verifyLogIn(ctx, { ...ada, password: 'wrong', place, client, caller, deviceToken: undefined })
  await t.rejects(guess('client'), { code: 'invalid_grant' })
  t.match(ctx.counts.signIns, { failed: 0, throttled: 0 })
  while (ctx.counts.signIns.throttled === 0) await t.rejects(guess('page'))
  t.ok(ctx.counts.signIns.failed > 0)
  const counted = server.metrics.find(({ name }) => name === 'mintmark_sign_ins_total')
  const samples = counted && 'samples' in counted ? [...counted.samples()] : []
  t.strictSame(samples[3], [{ outcome: 'throttled' }, 1])
})
