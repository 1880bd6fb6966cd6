import t from 'tap'
import type { UserTable } from '../../db/schema.ts'
import { changeUser, findUserById } from '../../db/users/users.ts'
import { mailsOf } from '../../src/mail/notices.ts'
import type { Notice } from '../../src/mail/notice.ts'
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

t.test('a mail is plain text, says who sends it, and that no person wrote it', async t => {
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
