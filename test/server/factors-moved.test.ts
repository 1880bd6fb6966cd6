import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findUser } from '../../db/users/users.ts'
import { addPasskey, creationOptions } from '../../src/factors/passkeys.ts'
import { requestOptions, usePasskey } from '../../src/factors/use-passkey.ts'
import { openBrowser } from '../helpers/browser.ts'
import { softAuthenticator } from '../helpers/authenticator.ts'
import { commandLine } from '../helpers/cli.ts'
import { onPostgres, onSqlite, postgresEnv } from '../helpers/engines.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { ownerOf, recoveryCodesOf, withApp } from '../helpers/second-factors.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'
import { verifiedMail } from '../helpers/account.ts'
import { keepNames } from '../../db/users/user-names.ts'

const address = 'ada@mail.example'
const caller = { requestId: 'r1', address: '198.51.100.7', source: '198.51.100.7' }
const browser = 'browser'

/** Somebody with every factor, and what is to be true of them wherever their row is. */
async function somebody(t: Test) {
  // Commands go by the real clock.
  const server = await startServer(t, onSqlite, Math.floor(Date.now() / 1000))
  const { ctx } = server
  const web = await relyingParty(server)
  const ada = await server.user()
  await verifiedMail(server, ada, address)
  const { user } = await ownerOf(server, ada)
  await ctx.db.transact(async transaction => {
    await keepNames(transaction, user)
    return true
  })
  const app = await withApp(server, ada)
  const [spent = '', ...codes] = await recoveryCodesOf(server, ada)
  const made = softAuthenticator('https://as.example').create(await creationOptions(ctx, user, browser))
  const added = await addPasskey(ctx, { user, caller }, made.response, browser, 'Phone')
  t.notOk('problem' in added)

  const half = async (at: TestServer) => {
    const window = openBrowser(at)
    const page = await logInWith(window, web.begin(), { ...ada, username: 'ADA@mail.example' })
    return (fields: Record<string, string>) => window.submit(page, fields)
  }
  t.equal((await (await half(server))({ recovery_code: spent })).isElsewhere, true)
  return {
    server,
    isAsBefore: async (at: TestServer) => {
      at.setClock(ctx.clock.now() + 60)
      await at.follow()
      t.ok((await findUser(at.ctx.db, address))?.id.equals(ada.id), 'the address is a name there')
      const submit = await half(at)
      t.equal((await submit({ recovery_code: spent })).isElsewhere, false, 'a code that was used')
      t.equal((await submit({ recovery_code: codes[0] ?? '' })).isElsewhere, true, 'one that was not')
      t.equal((await (await half(at))({ code: app.code(2) })).isElsewhere, true, 'the authenticator app')
      const answer = made.passkey.use(await requestOptions(at.ctx, { browser }))
      t.match(await usePasskey(at.ctx, answer, { browser, clientId: 'web', caller }), {
        user: { id: ada.id },
      })
    },
  }
}

await onPostgres(t, 'who has factors has them at the database that was moved to', async t => {
  const { server, isAsBefore } = await somebody(t)
  const env = await postgresEnv()
  const { call } = commandLine(t)
  const settings = { ...besideEnv(server), MINTMARK_ISSUER: 'https://as.example' }
  const moved = await call(['db', 'copy', '--to', env['MINTMARK_DATABASE_URL'] ?? '', '--yes'], {
    env: settings,
  })
  t.equal(moved.code, 0, moved.stderr)
  await isAsBefore(await startServer(t, { ...besideEnv(server), ...env }))
})

t.test('and at the one that was restored from a backup', async t => {
  const { server, isAsBefore } = await somebody(t)
  const { call } = commandLine(t)
  const folder = scratchFolder(t)
  const backup = join(folder, 'backup.sqlite')
  const here = { ...besideEnv(server), MINTMARK_ISSUER: 'https://as.example' }
  const made = await call(['db', 'backup', backup], { env: here })
  t.equal(made.code, 0, made.stderr)
  const there = { ...here, MINTMARK_DATABASE_URL: `sqlite:${join(folder, 'mintmark.sqlite')}` }
  const restored = await call(['db', 'restore', backup, '--accept-unrevoked', '--yes'], { env: there })
  t.equal(restored.code, 0, restored.stderr)
  await isAsBefore(await startServer(t, there))
})
