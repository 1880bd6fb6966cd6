import t from 'tap'
import { openBrowser } from '../helpers/browser.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { withApp } from '../helpers/second-factors.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

await forEachEngine(t, 'an administrator who has no way in gets one on the host, once', async (t, env) => {
  // Commands go by the real clock.
  const server = await startServer(t, { ...env }, Math.floor(Date.now() / 1000))
  const { call } = commandLine(t, t.testdir())
  const mintmark = (line: string) =>
    call(line, { env: { ...besideEnv(server), MINTMARK_ISSUER: 'https://as.example' } })
  await server.user('bob')
  const ada = await server.user('ada', 'reader mintmark:admin')
  await withApp(server, ada)

  const other = await mintmark('admin recover bob')
  t.equal(other.code, 1)
  t.match(
    other.stderr,
    /the user bob is no administrator: `mintmark user update bob --role mintmark:admin` makes one/,
  )
  t.match((await mintmark('admin recover zoe')).stderr, /there is no user zoe/)

  await mintmark('user disable ada')
  const made = await mintmark('admin recover ada --remove-factors --json')
  t.equal(made.code, 0, made.stderr)
  t.equal(made.json().disabled_at, null, 'who was disabled may come in again')
  const link = new URL(made.json().link)
  server.setClock(Math.floor(Date.now() / 1000) + 1)
  const browser = openBrowser(server)
  const path = link.pathname + link.search
  const form = await browser.open(path)
  t.match(form.text, /new password/i, 'no mail is needed for it')
  const done = await browser.submit(form, { password: 'a wholly other one' })
  t.match(done.text, /Your password is set/)
  t.equal((await browser.open(path)).response.statusCode, 400, 'it counts once')
  t.equal((await browser.open('/reset')).response.statusCode, 404, 'nobody else gets a link without mail')

  const web = await relyingParty(server)
  const back = await browser.submit(await browser.open(web.begin().url), {
    username: 'ada',
    password: 'a wholly other one',
  })
  t.match(back.url.searchParams.get('code'), /^mm_ac_/, 'and no second factor is asked for')
  const events = await server.ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'detail'])
    .where('actor', 'like', 'command %')
    .where('event', 'in', ['user_enabled', 'totp_removed', 'admin_recovered'])
    .orderBy('id')
    .execute()
  t.strictSame(
    events.map(({ event }) => event),
    ['user_enabled', 'totp_removed', 'admin_recovered'],
  )
  t.notMatch(JSON.stringify(events), /mm_rs_/, 'the trail does not have the link')
})
