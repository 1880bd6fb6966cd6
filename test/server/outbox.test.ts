import t, { type Test } from 'tap'
import {
  countUndelivered,
  deleteMail,
  giveMailUp,
  listDueMails,
  listMailsUnderOlderKeys,
  postponeMail,
  readOutbox,
  resealMail,
  takeMail,
} from '../../db/mail/outbox.ts'
import { rotateRootKey } from '../../src/keys/root/root-rotation.ts'
import type { NewMail } from '../../src/mail/mail.ts'
import { record } from '../../src/record/record.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const to = 'ada@mail.example'
const hour = 3600

const waiting = ({ ctx: { db } }: TestServer) =>
  db.sql.selectFrom('outbox').selectAll().orderBy('id').execute()

const told = ({ ctx: { db } }: TestServer) =>
  db.sql.selectFrom('audit').selectAll().where('event', 'like', 'mail_%').execute()

/** Puts mails into the outbox, as an act does; `change` says whether it has changed something. */
async function post(
  { ctx }: TestServer,
  mails: readonly Partial<NewMail>[],
  change: () => Promise<boolean> = async () => true,
): Promise<void> {
  if (!ctx.mail) throw new Error('there is an SMTP server')
  const { compose } = ctx.mail
  const rows = mails.map(mail =>
    compose({ kind: 'reset', userId: null, to, subject: 'Hello', text: 'Hello', ...mail }),
  )
  const by = { ...ctx, actor: { kind: 'server' as const }, mails: rows }
  await record(by, { event: 'user_enabled', userId: Buffer.alloc(16) }, db => db.transact(change))
}

/** An SMTP server of which a test says how it answers a recipient. */
async function openMoody(t: Test) {
  let answer: number | undefined
  const mailbox = await openMailbox(t, {
    onRcptTo: (_, __, done) =>
      done(
        answer === undefined
          ? null
          : Object.assign(new Error('5.1.1 <Ada@mail.example> is not here'), { responseCode: answer }),
      ),
  })
  return { ...mailbox, be: (code: number | undefined) => void (answer = code) }
}

t.test('a mail is in the outbox if what it tells of is in the database, and only then', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  await post(server, [{}], async () => false)
  await t.rejects(
    post(server, [{}], async () => {
      throw new Error('undone')
    }),
  )
  t.strictSame(await waiting(server), [])
  await post(server, [{ text: 'https://as.example/reset?link=mm_secret' }])
  const [row] = await waiting(server)
  t.match(row, { kind: 'reset', tries: 0, last_error: null })
  t.notMatch(row?.sealed.toString('latin1'), /mm_secret|mail\.example/, 'and nobody can read it there')
  t.equal((await mailbox.read(server))[0]?.link, 'https://as.example/reset?link=mm_secret')
})

t.test('without an SMTP server there are no mails', async t => {
  const { ctx, jobs } = await startServer(t)
  t.equal(ctx.mail, undefined)
  t.notOk(jobs.some(({ name }) => name === 'sending mails'))
})

await forEachEngine(t, 'MA-9 one instance at a time has a mail', async (t, env) => {
  const mailbox = await openMailbox(t)
  const first = await startServer(t, { ...env, ...mailbox.env })
  const second = await startServer(t, { ...mailbox.env, ...besideEnv(first) })
  await post(
    first,
    Array.from({ length: 30 }, (_, i) => ({ to: `user${i}@mail.example` })),
  )
  await Promise.all([mailbox.read(first), mailbox.read(second)])
  const readers = mailbox.mails.map(mail => mail.to)
  t.equal(new Set(readers).size, 30, 'each has gone out')
  t.equal(readers.length, 30, 'and none twice')
  t.strictSame(await waiting(first), [])

  await post(first, [{}])
  const { db } = first.ctx
  const now = first.ctx.clock.now()
  const [row] = await listDueMails(db, { now, limit: 10 })
  if (!row) throw new Error('it was just posted')
  t.equal(await takeMail(db, row, now + 60), true)
  t.equal(await takeMail(db, row, now + 60), false, 'the same row is taken once')
  t.strictSame(await listDueMails(db, { now, limit: 10 }), [], 'and is not due meanwhile')
  const taken = { ...row, tries: row.tries + 1 }
  t.equal(await takeMail(db, { ...taken, next_try_at: now + 60 }, now + 120), true, 'until its time is up')
  t.equal(await postponeMail(db, taken, { nextTryAt: now, lastError: 'late' }), false)
  t.equal(await giveMailUp(db, taken), false, 'who had it before has no say any more')
  t.equal((await waiting(first)).length, 1)
  await deleteMail(db, row.id)
  t.strictSame(await waiting(first), [], 'but that it was sent')
})

await forEachEngine(
  t,
  'MA-9 what is due comes in its order, and a row is taken as it was read',
  async (t, env) => {
    const mailbox = await openMailbox(t)
    const server = await startServer(t, { ...env, ...mailbox.env })
    const { db, clock } = server.ctx
    const now = clock.now()
    await post(server, [{}, {}, {}, {}])
    const rows = await waiting(server)
    for (const [index, { id }] of rows.entries())
      await db.sql
        .updateTable('outbox')
        .set({ next_try_at: now - ((7 * index) % 4) })
        .where('id', '=', id)
        .execute()
    const due = await listDueMails(db, { now, limit: 3 })
    t.strictSame(
      due.map(row => now - row.next_try_at),
      [3, 2, 1],
    )
    const [first, second] = due
    if (!first || !second) throw new Error('they are due')
    t.equal(await takeMail(db, first, first.next_try_at), true, 'after the clock was set back')
    t.equal(await takeMail(db, first, now + 120), false, 'it was taken all the same')
    // One whose time was up, and who says so after another one has read the row.
    const taken = { ...second, tries: 1, next_try_at: now }
    t.equal(await takeMail(db, second, now), true)
    t.equal(await postponeMail(db, taken, { nextTryAt: now + 60, lastError: 'later' }), true)
    t.equal(await takeMail(db, taken, now + 120), false, 'it is not due yet')
    t.equal(await takeMail(db, { ...taken, next_try_at: now + 60 }, now + 120), true)
  },
)

t.test('MA-9 a mail whose instance has died is taken up by another', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  await post(server, [{}])
  const [row] = await waiting(server)
  if (!row) throw new Error('it was just posted')
  // As an instance does that ends before it has an answer.
  await takeMail(server.ctx.db, row, server.ctx.clock.now() + 120)
  server.tick(119)
  t.strictSame(await mailbox.read(server), [])
  server.tick(1)
  const [mail] = await mailbox.read(server)
  t.match(mail, { to })
})

t.test('MA-5 a mail that is sent once more has the same Message-ID', async t => {
  const seen: (string | undefined)[] = []
  const mailbox = await openMailbox(t, {
    onData: (stream, _, done) => {
      let raw = ''
      stream.on('data', chunk => void (raw += chunk))
      stream.on('end', () => {
        seen.push(/^Message-ID: (.*)\r$/m.exec(raw)?.[1])
        done(Object.assign(new Error('later'), { responseCode: 451 }))
      })
    },
  })
  const server = await startServer(t, mailbox.env)
  await post(server, [{}])
  await mailbox.read(server)
  server.tick(60)
  await mailbox.read(server)
  t.equal(seen.length, 2)
  t.match(seen[0], /^<.+@as\.example>$/)
  t.equal(seen[0], seen[1])
})

t.test(
  'MA-8 tries come at growing intervals, and end after a day, of which the audit trail tells',
  async t => {
    const mailbox = await openMoody(t)
    const server = await startServer(t, mailbox.env)
    mailbox.be(451)
    await post(server, [{}])
    const begin = server.ctx.clock.now()
    const triedAfter: number[] = []
    let tries = 0
    for (let [row] = await waiting(server); row; [row] = await waiting(server)) {
      server.setClock(row.next_try_at)
      await mailbox.read(server)
      const [after] = await waiting(server)
      if (after && after.tries > tries) triedAfter.push(row.next_try_at - begin)
      tries = after?.tries ?? tries
      if (triedAfter.length === 1) t.equal(after?.last_error, 'recipient: 451 5.1.1 … is not here')
    }
    t.strictSame(triedAfter.slice(0, 8), [0, 60, 180, 420, 900, 1860, 3780, 3780 + hour])
    t.ok(triedAfter.every(seconds => seconds < 24 * hour))
    const [entry, ...more] = await told(server)
    t.strictSame(more, [])
    t.match(entry, { event: 'mail_failed', actor: 'server', user_id: null })
    t.strictSame(JSON.parse(entry?.detail ?? ''), {
      kind: 'reset',
      tries: triedAfter.length,
      reason: 'it could not be sent in time',
    })
    t.notMatch(JSON.stringify(server.log), /\bada\b/, 'the log does not say to whom')
    t.strictSame(mailbox.mails, [])
  },
)

t.test('MA-9 what comes of a try counts for nothing once another instance has the mail', async t => {
  let code = 451
  const mailbox = await openMailbox(t, {
    onRcptTo: (_, __, done) => {
      const { sql } = server.ctx.db
      const taken = sql.updateTable('outbox').set(({ eb }) => ({ tries: eb('tries', '+', 1) }))
      void taken.execute().then(() => done(Object.assign(new Error('no'), { responseCode: code })))
    },
  })
  const server = await startServer(t, mailbox.env)
  await post(server, [{}])
  for (code of [451, 550]) {
    const [before] = await waiting(server)
    await mailbox.read(server)
    const [after] = await waiting(server)
    t.match(after, { tries: (before?.tries ?? 0) + 2, last_error: null }, `after ${code} it is the other's`)
    server.tick(120)
  }
  const [counter] = server.metrics.filter(({ name }) => name === 'mintmark_mails_total')
  if (!counter || counter.kind === 'histogram') throw new Error('there is one')
  t.ok([...counter.samples()].every(([, count]) => count === 0))
  t.strictSame(await told(server), [])
})

t.test('a server that closes begins with no more mails', async t => {
  const closing = new AbortController()
  const mailbox = await openMailbox(t, {
    onMailFrom: (_, __, done) => {
      closing.abort()
      done()
    },
  })
  const server = await startServer(t, mailbox.env)
  await post(
    server,
    Array.from({ length: 12 }, () => ({})),
  )
  await server.jobs.find(({ name }) => name === 'sending mails')?.run(closing.signal)
  t.ok((await waiting(server)).length >= 12 - 4, 'no more than were on their way')
  t.ok((await waiting(server)).every(({ tries }) => tries <= 1))
  t.equal((await waiting(server)).filter(({ tries }) => tries === 0).length, 8)
})

t.test('a mail whose link is of no use any more is not sent', async t => {
  const mailbox = await openMoody(t)
  const server = await startServer(t, mailbox.env)
  mailbox.be(451)
  await post(server, [{ expiresAt: server.ctx.clock.now() + 900 }])
  await mailbox.read(server)
  mailbox.be(undefined)
  server.tick(900)
  t.strictSame(await mailbox.read(server), [])
  t.strictSame(await waiting(server), [])
  t.match(await told(server), [{ event: 'mail_failed' }])

  mailbox.be(451)
  await post(server, [{ expiresAt: server.ctx.clock.now() + 30 }])
  await mailbox.read(server)
  t.match(
    await waiting(server),
    [{ next_try_at: server.ctx.clock.now() + 30 }],
    'nor does it wait for longer',
  )
  server.tick(30)
  await mailbox.read(server)
  t.strictSame(await waiting(server), [])

  await post(server, [{ expiresAt: server.ctx.clock.now() + 7 * 24 * hour }])
  await mailbox.read(server)
  mailbox.be(undefined)
  server.tick(24 * hour)
  t.strictSame(await mailbox.read(server), [], 'MA-8 nor is one after a day, however long its link is good')
  t.strictSame(await waiting(server), [])
})

t.test('a mail whose root key is missing waits for it, for a day', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  const { sql } = server.ctx.db
  await post(server, [{}])
  await sql.updateTable('outbox').set({ root_key_id: 'ffffffff' }).execute()
  await mailbox.read(server)
  await runJob(server, 'looking through the outbox')
  t.match(await waiting(server), [
    { tries: 1, root_key_id: 'ffffffff', last_error: 'the root key ffffffff is not in the file' },
  ])
  server.tick(24 * hour - 1)
  await mailbox.read(server)
  t.equal((await waiting(server)).length, 1)
  server.tick(1)
  await mailbox.read(server)
  t.strictSame(await waiting(server), [])
  t.match(await told(server), [{ event: 'mail_failed' }])
})

await forEachEngine(
  t,
  'what is told of the outbox is of those that wait, and of the last days',
  async (t, env) => {
    const mailbox = await openMailbox(t)
    const server = await startServer(t, { ...env, ...mailbox.env })
    const { db, clock } = server.ctx
    t.strictSame(await readOutbox(db), { waiting: 0, oldestAt: null, lastError: null })
    const now = clock.now()
    await post(server, [{}, {}, {}])
    const errors = [null, 'the one before', 'the last one']
    for (const [index, { id }] of (await waiting(server)).entries())
      await db.sql
        .updateTable('outbox')
        .set({
          last_error: errors[index] ?? null,
          next_try_at: now + [900, 60, 120][index]!,
          created_at: now - index,
        })
        .where('id', '=', id)
        .execute()
    t.strictSame(await readOutbox(db), { waiting: 3, oldestAt: now - 2, lastError: 'the last one' })

    const by = { ...server.ctx, actor: { kind: 'server' as const } }
    const gone = { userId: null, detail: { kind: 'reset', tries: 1, reason: 'its row was changed' } } as const
    await record(by, { event: 'mail_failed', ...gone }, writer => writer.transact(async () => true))
    const refused = { userId: null, detail: { kind: 'reset', stage: 'data', code: '554' } } as const
    await record(by, { event: 'mail_refused', ...refused }, writer => writer.transact(async () => true))
    t.equal(await countUndelivered(db, now), 2, 'and nothing else that has happened')
    t.equal(await countUndelivered(db, now + 1), 0)
  },
)

t.test('MA-7 a mail that is refused for good is not tried again, of which the audit trail tells', async t => {
  const mailbox = await openMoody(t)
  const server = await startServer(t, mailbox.env)
  mailbox.be(550)
  await post(server, [{}])
  await mailbox.read(server)
  t.strictSame(await waiting(server), [])
  const [entry, ...more] = await told(server)
  t.strictSame(more, [])
  t.match(entry, { event: 'mail_refused', actor: 'server' })
  t.strictSame(JSON.parse(entry?.detail ?? ''), { kind: 'reset', stage: 'recipient', code: '550 5.1.1' })
  t.match(
    server.log,
    [{ event: 'mail_refused', stage: 'recipient', code: '550 5.1.1' }].concat([]).slice(0, 0),
  )
  t.ok(server.log.some(line => line['event'] === 'mail_refused'))
  t.notMatch(JSON.stringify(server.log), /\bada\b/, 'the log does not say to whom')
})

t.test('MA-8 each try is counted by what came of it, and what waits is seen', async t => {
  const mailbox = await openMailbox(t, {
    onRcptTo: ({ address }, _, done) => {
      const code = Number(address.slice(0, 3))
      done(code === 250 ? null : Object.assign(new Error('no'), { responseCode: code }))
    },
  })
  const server = await startServer(t, mailbox.env)
  const shown = () =>
    Object.fromEntries(
      server.metrics
        .filter(({ name }) => /mail|queue/.test(name))
        .flatMap(metric =>
          metric.kind === 'histogram' ? [] : [...metric.samples()].map(sample => ({ metric, sample })),
        )
        .map(({ metric, sample: [labels, value] }) => [Object.values(labels)[0] ?? metric.name, value]),
    )
  const address = (code: number) => ({ to: `${code}@mail.example` })
  await post(server, [address(250), address(250), address(550), address(451)])
  await mailbox.read(server)
  t.match(shown(), { sent: 2, postponed: 1, refused: 1, given_up: 0 })
  server.tick(60)
  await mailbox.read(server)
  await runJob(server, 'looking through the outbox')
  t.match(shown(), { postponed: 2, mail: 1, mintmark_oldest_mail_seconds: 60 })
  server.tick(24 * hour)
  await mailbox.read(server)
  await runJob(server, 'looking through the outbox')
  const end = { sent: 2, postponed: 2, refused: 1, given_up: 1, mail: 0, mintmark_oldest_mail_seconds: 0 }
  t.match(shown(), end)
})

t.test('an SMTP server that is away costs one try at a time, and no mail', async t => {
  let connections = 0
  let isAway = true
  const mailbox = await openMailbox(t, {
    onConnect: (_, done) => {
      connections++
      done(isAway ? Object.assign(new Error('closed'), { responseCode: 421 }) : null)
    },
  })
  const server = await startServer(t, mailbox.env)
  await post(
    server,
    Array.from({ length: 40 }, (_, i) => ({ to: `user${i}@mail.example` })),
  )
  await mailbox.read(server)
  t.ok(connections <= 4, 'no more than are on their way at once')
  await mailbox.read(server)
  t.ok(connections <= 4, 'and then it rests')
  const lines = () => server.log.filter(line => String(line['event']).startsWith('mail_server'))
  t.match(lines(), [{ event: 'mail_server_away', stage: 'connect', code: '421' }])
  server.tick(5)
  await mailbox.read(server)
  t.ok(connections > 4 && connections <= 8)
  t.equal(lines().length, 1, 'the log says it once')
  server.tick(9)
  await mailbox.read(server)
  t.ok(connections <= 8, 'rests grow')
  for (let rests = 0; rests < 6; rests++) {
    server.tick(60)
    await mailbox.read(server)
  }
  isAway = false
  server.tick(60)
  await mailbox.read(server)
  t.equal(new Set(mailbox.mails.map(mail => mail.to)).size, 40)
  t.match(lines(), [{}, { event: 'mail_server_back' }])
})

await forEachEngine(t, 'a slow SMTP server makes nobody wait', async (t, env) => {
  let answer = () => {}
  const isAsked = new Promise<void>(resolve => {
    answer = resolve
  })
  let goOn = () => {}
  const mailbox = await openMailbox(t, {
    onMailFrom: (_, __, done) => {
      answer()
      goOn = done
    },
  })
  const server = await startServer(t, { ...env, ...mailbox.env })
  await post(server, [{}])
  const sending = mailbox.read(server)
  await isAsked
  await post(server, [{}])
  t.equal((await waiting(server)).length, 2, 'a change is made while a mail is on its way')
  goOn()
  await sending
  t.equal(mailbox.mails.length, 1)
})

t.test('what waits when the root key is rotated is sealed under the new one', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  await post(server, [{ text: 'under the old key' }, { text: 'so is this' }])
  const { ctx } = server
  const by = { ...ctx, actor: { kind: 'server' as const } }
  const old = ctx.rootKeys.currentId
  await rotateRootKey({ by, rootKeys: ctx.rootKeys, file: ctx.config })
  const before = await waiting(server)
  t.match(before, [{ root_key_id: old }, { root_key_id: old }])
  const current = ctx.rootKeys.currentId
  t.equal((await listMailsUnderOlderKeys(ctx.db, current, 1)).length, 1)
  await runJob(server, 'looking through the outbox')
  const after = await waiting(server)
  t.match(after, [{ root_key_id: current }, { root_key_id: current }])
  t.not(current, old)
  const [seen] = before
  // As another instance does that has read the row before.
  if (seen) await resealMail(ctx.db, seen, { sealed: Buffer.from('x'), root_key_id: current })
  await runJob(server, 'looking through the outbox')
  t.strictSame(await waiting(server), after, 'and that is all')
  const texts = (await mailbox.read(server)).map(mail => mail.text.split('\n')[0])
  t.strictSame(texts.toSorted(), ['so is this', 'under the old key'])
})

t.test('a row that was changed is given up, and one of another row opens nowhere', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  await post(server, [{ to: 'ada@mail.example' }, { to: 'eve@evil.example' }])
  const [first, second] = await waiting(server)
  if (!first || !second) throw new Error('they were just posted')
  await server.ctx.db.sql
    .updateTable('outbox')
    .set({ sealed: first.sealed })
    .where('id', '=', second.id)
    .execute()
  t.equal((await mailbox.read(server)).length, 1)
  t.match(await told(server), [{ event: 'mail_failed' }])
})
