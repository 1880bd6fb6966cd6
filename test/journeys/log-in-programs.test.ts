import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import {
  claims,
  documentedClient,
  hasNoComplaint,
  jsonAt,
  logInAt,
  logInWorld,
  openWindow,
  serve,
} from '../helpers/log-in-world.ts'
import { start, until } from '../helpers/programs.ts'

/** Why a program cannot be tried here; false where it can be. */
function skipUnless(has: string, program: string, ...args: readonly string[]): string | false {
  return spawnSync(program, args).status === 0 ? false : `this machine has no ${has}`
}

const authlib = ['-c', 'import authlib, flask, requests']

t.test(
  'Authlib: a web app in Python verifies the ID token, and asks /userinfo',
  { skip: skipUnless('python3 with Authlib, Flask and requests', 'python3', ...authlib) },
  async t => {
    const all = await logInWorld(t)
    const web = await documentedClient('Authlib', all)
    await web.create()
    const file = all.file('app.py')
    writeFileSync(file, `${web.code}\n\napp.run(port=${web.port})\n`)
    await start(t, t.testdirName, [file], { env: {}, says: /Running on/, program: 'python3' })

    const page = await openWindow(t, await startChromium(t))
    await page.goto(`${web.home}/login`)
    await logInAt(page, all)
    await page.waitForURL(`${web.home}/callback?*`)
    t.match(await jsonAt(page), {
      iss: all.issuer,
      aud: 'web',
      sub: all.ada.sub,
      nonce: String,
      email: claims.email,
    })
    hasNoComplaint(t, all)
  },
)

t.test(
  'oauth2-proxy: it logs in, refreshes, and logs out',
  { skip: skipUnless('oauth2-proxy', 'oauth2-proxy', '--version') },
  async t => {
    const all = await logInWorld(t)
    const web = await documentedClient('oauth2-proxy', all)
    await web.create()
    const cookieSecret = all.file('cookie.secret')
    writeFileSync(cookieSecret, randomBytes(16).toString('hex'))
    const upstream = await freePort()
    await serve(t, upstream, (request, response) => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(request.headers))
    })
    const [program = '', ...args] = web.code
      .replace('cookie.secret', cookieSecret)
      .replace('127.0.0.1:8080', `127.0.0.1:${upstream}`)
      .match(/"[^"]*"|[^\s\\]+/g)!
      .map(word => word.replaceAll('"', ''))
    const here = ['--http-address', new URL(web.home).host, '--cookie-secure=false', '--cookie-refresh=1s']
    await start(t, t.testdirName, [...args, ...here], { env: {}, says: /OAuthProxy configured/, program })

    const page = await openWindow(t, await startChromium(t))
    await page.goto(web.home)
    await logInAt(page, all)
    await page.waitForURL(`${web.home}/`)
    t.match(await jsonAt(page), { 'x-forwarded-email': claims.email, 'x-forwarded-user': all.ada.sub })
    const sessions = () =>
      all.server.ctx.db.sql.selectFrom('sessions').select(['generation', 'revoked_at']).execute()
    await until(async () => {
      await page.reload()
      return (await sessions()).some(({ generation }) => generation > 0)
    })
    t.match(await jsonAt(page), { 'x-forwarded-email': claims.email }, 'after a refresh')
    await page.goto(`${web.home}/oauth2/sign_out`)
    t.match(await sessions(), [{ revoked_at: Number }], 'the server has ended the session')
    hasNoComplaint(t, all)
  },
)
