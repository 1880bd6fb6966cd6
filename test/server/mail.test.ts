import t from 'tap'
import type { UserTable } from '../../db/schema.ts'
import { changeUser, findUserById } from '../../db/users/users.ts'
import { mailsOf } from '../../src/mail/notices.ts'
import { checkMail, checkUndelivered } from '../../src/admin/doctor/mail.ts'
import type { Notice, NoticeKind } from '../../src/mail/notice.ts'
import { commandLine } from '../helpers/cli.ts'
import { record } from '../../src/record/record.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

/** A user whose address was verified, unless the claims say otherwise. */
async function addOwner({ ctx, user }: TestServer, claims: object = {}): Promise<UserTable> {
  const { id } = await user()
  const columns = {
    roles: '',
    claims: JSON.stringify({ email: 'ada@mail.example', email_verified: true, ...claims }),
  }
  const before = await findUserById(ctx.db, id)
  if (!before) throw new Error('it was just added')
  await changeUser(ctx.db, before, columns)
  return { ...before, ...columns }
}

/** Does something to the user that is told by mail. */
async function tell({ ctx }: TestServer, owner: UserTable, notice: Notice): Promise<void> {
  const mails = mailsOf(ctx, owner, notice)
  await record(
    { ...ctx, actor: { kind: 'server' }, mails },
    { event: 'user_enabled', userId: owner.id },
    writer => writer.transact(async () => true),
  )
}

const waiting = ({ ctx: { db } }: TestServer) => db.sql.selectFrom('outbox').selectAll().execute()

t.test('MA-4 a mail is plain text, says who sends it, and that no person wrote it', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  const owner = await addOwner(server)
  await tell(server, owner, { kind: 'passkey_added', name: 'Schlüssel\r\nBcc: eve@evil.example' })
  const [mail, ...more] = await mailbox.read(server)
  t.strictSame(more, [])
  t.match(mail, { from: 'no-reply@as.example', to: 'ada@mail.example', subject: 'A passkey was added' })
  const { headers, text = '', raw = '' } = mail ?? {}
  t.equal(headers?.get('from'), 'Example <no-reply@as.example>')
  t.equal(headers?.get('auto-submitted'), 'auto-generated')
  t.match(headers?.get('message-id'), /^<[0-9a-f-]{36}@as\.example>$/)
  t.equal(headers?.has('x-mailer'), false)
  t.match(headers?.get('content-type'), /^text\/plain; charset=utf-8/)
  t.equal(headers?.has('bcc'), false, 'a name adds no header')
  t.match(text, '“Schlüssel Bcc: eve@evil.example”')
  t.match(text, 'https://as.example/account')
  t.match(text, /\n\n-- \nas\.example\nhttps:\/\/as\.example\n$/)
  t.ok(raw.split('\r\n').every(line => line.length <= 78))
  t.strictSame(await waiting(server), [], 'it has left the outbox')
  t.strictSame(await mailbox.read(server), [], 'and is not sent twice')
})

t.test('a notice is in the language of its reader, and goes to a verified address alone', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  const owner = await addOwner(server, { locale: 'de-AT' })
  await tell(server, owner, { kind: 'recovery_code_used', left: 0 })
  const [german] = await mailbox.read(server)
  t.equal(german?.subject, 'Ein Wiederherstellungscode wurde benutzt')
  t.match(german?.text, /^Guten Tag ada,\n/)
  t.match(german?.text, 'Es ist keiner mehr übrig')
  t.match(german?.text, /\nZeit: 17\. März 2030 um 17:46 UTC\n/)
  const others = [{ email_verified: false }, { email_verified: undefined }, { email: 'ada@localhost' }]
  for (const claims of others) {
    const without = { ...owner, claims: JSON.stringify({ ...JSON.parse(owner.claims), ...claims }) }
    t.strictSame(mailsOf(server.ctx, without, { kind: 'totp_added' }), [], JSON.stringify(claims))
  }
  const { ctx } = await startServer(t)
  t.strictSame(mailsOf(ctx, owner, { kind: 'totp_added' }), [], 'nor where mails cannot be sent')
})

t.test('each notice has its words in each language', async t => {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, mailbox.env)
  const owner = await addOwner(server)
  const notices: { readonly [Kind in NoticeKind]: Extract<Notice, { kind: Kind }> } = {
    password_changed: { kind: 'password_changed' },
    password_reset: { kind: 'password_reset' },
    passkey_added: { kind: 'passkey_added', name: 'iPhone' },
    passkey_removed: { kind: 'passkey_removed', name: 'iPhone' },
    totp_added: { kind: 'totp_added' },
    totp_removed: { kind: 'totp_removed' },
    recovery_codes_renewed: { kind: 'recovery_codes_renewed' },
    recovery_code_used: { kind: 'recovery_code_used', left: 3 },
    mail_changed: { kind: 'mail_changed' },
    name_changed: { kind: 'name_changed', username: 'countess' },
    profile_changed: { kind: 'profile_changed' },
    mail_change_asked: { kind: 'mail_change_asked' },
    signed_out_place: { kind: 'signed_out_place' },
    signed_out_others: { kind: 'signed_out_others' },
    consent_withdrawn: { kind: 'consent_withdrawn', client: 'Shop' },
    device_connected: { kind: 'device_connected', client: 'Shop' },
    personal_access_token_created: { kind: 'personal_access_token_created', name: 'ci' },
    personal_access_tokens_ended: { kind: 'personal_access_tokens_ended', names: ['ci', 'nightly'] },
    second_factor_missing: { kind: 'second_factor_missing' },
    factor_removed_by_admin: { kind: 'factor_removed_by_admin', factor: 'totp' },
  }
  for (const locale of ['en', 'de']) {
    const reader = { ...owner, claims: JSON.stringify({ ...JSON.parse(owner.claims), locale }) }
    for (const notice of Object.values(notices)) await tell(server, reader, notice)
  }
  const mails = await mailbox.read(server)
  t.equal(mails.length, 2 * Object.keys(notices).length)
  t.equal(new Set(mails.map(mail => mail.text)).size, mails.length)
  for (const { text, subject } of mails) {
    t.notMatch(text, /undefined|\[object/, subject)
    t.match(text, 'https://as.example/account', subject)
  }
})

t.test('mintmark mail test sends a mail, or names the stage that failed', async t => {
  const { call } = commandLine(t)
  const mailbox = await openMailbox(t)
  const sent = await call('mail test ada@bücher.example --json', { env: mailbox.env })
  t.equal(sent.code, 0, sent.stderr)
  t.match(sent.json(), { to: 'ada@xn--bcher-kva.example', from: 'no-reply@as.example' })
  t.match(mailbox.mails, [{ subject: 'Test mail', text: /^This is a test mail/ }])

  const refusing = await openMailbox(t, {
    onRcptTo: (_, __, done) => done(Object.assign(new Error('5.7.1 no relay'), { responseCode: 550 })),
  })
  const refused = await call('mail test ada@mail.example', { env: refusing.env })
  t.equal(refused.code, 1)
  t.match(refused.stderr, /it does not take mails to this address \(recipient\): 550 5\.7\.1 no relay/)

  const url = 'smtp://ada:secret-1@127.0.0.1:1'
  const away = await call('mail test ada@mail.example', { env: { ...mailbox.env, MINTMARK_SMTP_URL: url } })
  t.equal(away.code, 1)
  t.match(away.stderr, /smtp:\/\/127\.0\.0\.1:1, without TLS: it cannot be reached \(connect\)/)
  t.notMatch(away.stderr, /secret-1/)

  t.match(await call('mail test ada@mail.example'), {
    code: 1,
    stderr: /set MINTMARK_SMTP_URL and MINTMARK_MAIL_FROM/,
  })
  t.match(await call('mail test ada', { env: mailbox.env }), { code: 2, stderr: /takes a mail address/ })
})

t.test('doctor says where mails go, which wait, and which reached nobody', async t => {
  const mailbox = await openMailbox(t, {
    onRcptTo: ({ address }, _, done) =>
      done(Object.assign(new Error('not here'), { responseCode: address.startsWith('eve') ? 550 : 451 })),
  })
  const server = await startServer(t, mailbox.env)
  const owner = await addOwner(server)
  await tell(server, owner, { kind: 'totp_added' })
  const eve = { ...owner, claims: JSON.stringify({ email: 'eve@mail.example', email_verified: true }) }
  await tell(server, eve, { kind: 'totp_added' })
  await mailbox.read(server)
  server.tick(600)
  const { ctx } = server
  const { config, clock } = ctx
  const admin = { ...ctx, config } as unknown as Parameters<typeof checkMail>[0]
  const findings = await checkMail(admin, { config, clock, showProgress: () => () => {} } as never)
  t.match(findings, [
    { verdict: 'ok', text: /^mails from no-reply@as\.example go to smtp:\/\/127\.0\.0\.1:\d+, without TLS$/ },
    { verdict: 'warning', text: /^the outbox holds 1 mail, the oldest since .*; recipient: 451 not here$/ },
  ])
  t.match(await checkUndelivered(admin, { config, clock } as never), [
    { verdict: 'warning', text: /^1 mail did not reach anybody/ },
  ])
  const off = { ...admin, config: { ...config, smtp: undefined } }
  t.match(await checkMail(off, { config, clock } as never), [
    { verdict: 'warning', text: 'the outbox holds 1 mail, but there is no SMTP server' },
  ])
})
