import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { record } from '../../src/record/record.ts'
import { commandLine } from '../helpers/cli.ts'
import { openMailbox, parseMail } from '../helpers/mailbox.ts'
import { startDev, until } from '../helpers/programs.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

t.jobs = 2

t.test('MA-9 no mail is lost with a server that is killed, and two that live send none twice', async t => {
  // Takes mails and says nothing, until it is told to.
  const held: string[] = []
  const sent: string[] = []
  let isSilent = true
  const mailbox = await openMailbox(t, {
    onData: (stream, { envelope }, done) => {
      void text(stream).then(raw => {
        const { to, headers } = parseMail(raw, '', envelope.rcptTo.map(({ address }) => address).join(' '))
        const seen = isSilent ? held : sent
        seen.push(`${to} ${headers.get('message-id')}`)
        if (!isSilent) done()
      })
    },
  })
  const server = await startServer(t, mailbox.env, Math.floor(Date.now() / 1000))
  const { ctx } = server
  const readers = Array.from({ length: 40 }, (_, i) => `user${i}@mail.example`)
  if (!ctx.mail) throw new Error('there is an SMTP server')
  const { compose } = ctx.mail
  const mails = readers.map(to =>
    compose({ kind: 'reset', userId: null, to, subject: 'Hello', text: 'Hello' }),
  )
  await record(
    { ...ctx, actor: { kind: 'server' }, mails },
    { event: 'user_enabled', userId: Buffer.alloc(16) },
    db => db.transact(async () => true),
  )
  const cli = commandLine(t)
  const env = { ...besideEnv(server), ...mailbox.env, MINTMARK_ISSUER: 'https://as.example' }
  const waiting = async () => (await ctx.db.sql.selectFrom('outbox').selectAll().execute()).length

  const first = await cli.serve(env)
  while (held.length < 4) await sleep(10)
  first.process.kill('SIGKILL')
  isSilent = false
  t.equal(await waiting(), 40, 'what was on its way is there still')
  t.strictSame(sent, [])

  await Promise.all([cli.serve(env), cli.serve(env)])
  await until(async () => (await waiting()) === 4)
  t.equal(sent.length, 36, 'once each')
  // Two minutes later.
  await ctx.db.sql
    .updateTable('outbox')
    .set(({ eb }) => ({ next_try_at: eb('next_try_at', '-', 120) }))
    .execute()
  await until(async () => (await waiting()) === 0)
  t.strictSame(
    sent.map(mail => mail.split(' ')[0]).toSorted(),
    readers.toSorted(),
    'all have come, once each',
  )
  t.strictSame(
    held.filter(mail => !sent.includes(mail)),
    [],
    'MA-5 who has one twice sees by its Message-ID that it is the same',
  )
})

t.test('dev shows mails in its terminal, with links that lead on, which no line of its log has', async t => {
  const home = scratchFolder(t)
  const { child, issuer, env } = await startDev(t, {
    home,
    env: { MINTMARK_SIGN_UP: 'open' },
  })
  let said = ''
  child.stderr?.on('data', chunk => void (said += String(chunk)))
  const post = (fields: Record<string, string>) =>
    fetch(`${issuer}/sign-up`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      headers: { origin: issuer },
      redirect: 'manual',
    })
  t.equal((await post({ email: 'bob@example.com' })).status, 303)
  await until(async () => said.includes('/sign-up?link='))
  t.match(said, /^To: bob@example\.com\nSubject: Finish signing up\n\n/m)
  const [link = ''] = /^http\S+\/sign-up\?link=\S+$/m.exec(said) ?? []
  const page = await fetch(link)
  t.equal(page.status, 200)
  t.match(await page.text(), /value="bob@example\.com"/)
  const sealed = new URL(link).searchParams.get('link') ?? ''
  const made = await post({ link: sealed, username: 'bob', password: 'a wholly other one' })
  t.match([made.status, made.headers.get('location')], [303, `${issuer}/sign-up?done=1`])
  t.equal(said.split(sealed).length, 2, 'it is in the mail alone')

  const { call } = commandLine(t, home)
  const invite = (name: string) => call(`user invite ${name} --email ${name}@example.com`, { env })
  const invited = await invite('eve')
  t.match(invited, { code: 0, stdout: /a mail to eve@example\.com is shown where `mintmark dev` runs/ })
  await until(async () => said.includes('To: eve@example.com'))
  t.match(said, /^http\S+\/reset\?link=\S+$/m, 'and what commands beside it mail is shown too')
  t.match((await call('doctor', { env })).stdout, /mails are shown in the terminal of `mintmark dev`/)
  const noted = join(home, 'db/dev.pid')
  const note = readFileSync(noted, 'utf8')
  child.kill('SIGTERM')
  await once(child, 'exit')
  t.match(await invite('late'), { code: 1, stderr: /no mail can be sent/ }, 'while it runs')
  writeFileSync(noted, note)
  t.equal((await invite('late')).code, 1, 'and not after it was killed')
  writeFileSync(noted, note.replace(String(child.pid), String(process.pid)))
  t.equal((await invite('late')).code, 1, 'nor where another process has its id by then')
})
