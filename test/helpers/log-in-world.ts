import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { commandLine } from './cli.ts'
import { freePort } from './free-port.ts'
import { besideEnv, startServer } from './server.ts'

/** What its user is. */
export const claims = { name: 'Ada Lovelace', email: 'ada@example.com', email_verified: true }

/**
 * A server as its users meet it: at an address of its own, whose issuer may have a path, with clients that
 * its commands have made, and with somebody to log in.
 */
export async function logInWorld(t: Test, path = '') {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}${path}`
  const env = { MINTMARK_ISSUER: issuer }
  const now = () => Math.floor(Date.now() / 1000)
  const server = await startServer(t, env, now())
  await server.app.listen({ host: '127.0.0.1', port })
  // Libraries look at the real clock.
  server.app.server.prependListener('request', () => server.setClock(now()))
  await server.resource('https://api.example')
  const ada = await server.user()
  await server.ctx.db.sql
    .updateTable('users')
    .set({ claims: JSON.stringify(claims) })
    .where('id', '=', ada.id)
    .execute()

  const directory = t.testdir()
  const { call } = commandLine(t, directory)
  const file = (name: string) => join(directory, name)
  /** Makes a client, and returns its secret, if it has one. */
  const create = async (options: string): Promise<string> => {
    const created = await call(`client create --json ${options}`, { env: { ...env, ...besideEnv(server) } })
    if (created.code !== 0) throw new Error(created.stderr)
    await server.follow()
    return created.json().client_secret ?? ''
  }
  /** The key of a client that was made with `--new-key`. */
  const keyOf = async (name: string) => {
    const jwk = JSON.parse(readFileSync(file(name), 'utf8'))
    const es256 = { name: 'ECDSA', namedCurve: 'P-256' }
    return { key: await crypto.subtle.importKey('jwk', jwk, es256, false, ['sign']), kid: String(jwk.kid) }
  }
  return { server, issuer, ada, create, file, keyOf }
}

export type LogInWorld = Awaited<ReturnType<typeof logInWorld>>

/** Logs in at a page of a real browser. */
export async function logInAt(page: Page, { ada, issuer }: LogInWorld): Promise<void> {
  await page.waitForURL(`${issuer}/log-in?*`)
  await page.getByLabel('User name').fill(ada.username)
  await page.getByLabel('Password').fill(ada.password)
  await page.locator('button[type=submit]').click()
}

/** A window of a real browser that knows no user yet. */
export async function openWindow(t: Test, chromium: Browser): Promise<Page> {
  const context = await chromium.newContext()
  context.setDefaultTimeout(0)
  t.teardown(() => context.close())
  return context.newPage()
}

/** Nothing that a library has sent was a mistake or the server's fault. */
export function hasNoComplaint(t: Test, { server }: LogInWorld): void {
  t.strictSame(
    // On a busy machine seconds pass before the world sets its clock.
    server.log.filter(({ level, event }) => Number(level) >= 40 && event !== 'clock_set'),
    [],
    'the server has no complaint',
  )
}

const docs = readFileSync(join(import.meta.dirname, '../../docs/log-in.md'), 'utf8')

/** What the documentation says of a library: the options of its client, and its lines of code. */
function documented(library: string): { readonly options: string; readonly code: string } {
  const [, section = ''] = docs.split(`### ${library}`)
  const [, options = ''] = /^mintmark client create (.*)$/m.exec(section) ?? []
  const [, code = ''] = [...section.matchAll(/```\w+\n([^]*?)```/g)].map(([, block]) => block)
  return { options, code }
}

/** A client of the documentation that is at an address of its own, and its code as it is run there. */
export async function documentedClient(library: string, { issuer, create, file }: LogInWorld) {
  const port = await freePort()
  const home = `http://127.0.0.1:${port}`
  const { options, code } = documented(library)
  const here = (text: string) =>
    text
      .replaceAll(/https:\/\/(?:spa|web)\.example(?=\W)/g, home)
      .replaceAll('https://as.example', issuer)
      .replace(/\bweb\.secret\b/g, file)
  return {
    port,
    home,
    code: here(code),
    create: (...more: readonly string[]) => create([here(options), ...more].join(' ')),
    /** Runs it as a module of Node.js, and returns one of its constants. */
    run: async (constant: string): Promise<any> => {
      const module = file(`${constant}.mjs`)
      writeFileSync(module, `${here(code)}\nexport { ${constant} }\n`)
      return (await import(module))[constant]
    },
  }
}

/** Serves an app on the loopback interface, until the test is over. */
export async function serve(t: Test, port: number, handle: RequestListener): Promise<void> {
  const app = createServer(handle).listen(port, '127.0.0.1')
  await once(app, 'listening')
  t.teardown(() => {
    app.closeAllConnections()
    app.close()
  })
}

/** What an app has answered with JSON. */
export const jsonAt = async (page: Page) => JSON.parse((await page.locator('body').textContent()) ?? '')
