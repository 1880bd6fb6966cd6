import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TOTP } from 'otpauth'
import t from 'tap'
import type { Page } from 'playwright-core'
import { bareEnv } from '../helpers/bare-env.ts'
import { commandLine } from '../helpers/cli.ts'
import { startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import { end, installExamples, start, startDev, until } from '../helpers/programs.ts'

const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')
const readme = read('README.md')
const { scripts } = JSON.parse(read('package.json'))

/** The first block of code behind some words of the README. */
function blockBehind(words: string): string {
  const from = readme.indexOf(words)
  if (from < 0) throw new Error(`the README has no ${words}`)
  return /```\w*\n([^]*?)```/.exec(readme.slice(from))?.[1] ?? ''
}

/** The words of a script of package.json behind `node`. */
function scriptArgs(name: string): readonly string[] {
  const [node, ...args] = String(scripts[name]).split(' ')
  if (node !== 'node') throw new Error(`${name} is no script for Node.js`)
  return args
}

/** What `npm start` prints, without what is another one each time. */
const withoutSecrets = (text: string, issuer: string) =>
  text
    .replaceAll(`ISSUER=${issuer} `, '')
    .replaceAll(issuer, 'http://127.0.0.1:9000')
    .replace(/mm_cs_\S+/g, 'mm_cs_…')
    .replace(/(password[ =])[\w-]{22}\b/g, '$1…')

/** A JWT or a refresh token: three letters of one are in much that is random. */
const token = /eyJ[\w-]*\.eyJ|mm_rt_/

/** What a page shows of JSON, in its n-th block. */
const jsonOf = async (page: Page, block: number) =>
  JSON.parse((await page.locator('pre').nth(block).textContent()) ?? '')

t.test('the walk of the README: a log-in in the browser, an API, refreshes, and the end of it', async t => {
  const { home, call } = commandLine(t)
  const directory = installExamples(
    t,
    ...['jose', 'fastify', 'hono', 'openid-client', 'oauth4webapi', '@fastify/cookie', '@fastify/formbody'],
  )
  let server = await startDev(t, { home, asSources: true })
  const { issuer, output, env } = server
  t.equal(scripts.start, 'node src/main.ts dev')
  const said = output.replace(/^\{.*\}\n/gm, '')
  t.equal(
    withoutSecrets(said, issuer),
    withoutSecrets(blockBehind('makes the database and the root key'), issuer),
  )
  const [, password = ''] = /with the password (\S+)/.exec(said) ?? []

  const ports = { web: await freePort(), spa: await freePort(), api: await freePort() }
  const url = (which: keyof typeof ports) => `http://127.0.0.1:${ports[which]}`
  const example = (name: string, which: keyof typeof ports, more: Record<string, string> = {}) =>
    start(t, directory, scriptArgs(`example:${name}`), {
      env: { ISSUER: issuer, PORT: String(ports[which]), ...more },
      says: /listening/,
    })
  await example('web', 'web', { CLIENT_KEY: join(home, 'keys/demo-web.jwk'), API: url('api') })
  await example('fastify', 'api')
  await example('spa', 'spa')
  const moved = await call(`client update demo-spa --cors-origin ${url('spa')}`, { env })
  t.equal(moved.code, 0, moved.stderr)

  const context = await (await startChromium(t)).newContext()
  context.setDefaultTimeout(0)
  const sessions = async () => (await call('session list --user demo --json', { env })).json()
  const page = await context.newPage()
  const answers: string[] = []
  page.on('response', response => {
    if (response.url().startsWith(url('web'))) answers.push(JSON.stringify(response.headers()))
  })

  // Log in.
  await page.goto(url('web'))
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.waitForURL(`${issuer}/log-in?*`)
  await logInAs(page, password)
  await page.waitForURL(`${url('web')}/`)

  // See what you got.
  const claims = await jsonOf(page, 0)
  const written = JSON.parse(blockBehind('what its ID token says'))
  t.strictSame(Object.keys(claims).toSorted(), Object.keys(written).toSorted())
  const { aud, acr, amr } = written
  t.match(claims, { iss: issuer, aud, acr, amr })
  t.match(await jsonOf(page, 1), { sub: claims.sub, name: 'Ada Demo', email: 'ada@example.org' })
  const seen = [await page.content(), ...answers, JSON.stringify(await page.evaluate('document.cookie'))]
  t.notMatch(seen.join('\n'), token, 'the tokens themselves stay with the app')
  const cookies = await context.cookies()
  t.strictSame(
    cookies.filter(({ httpOnly }) => !httpOnly),
    [],
    'no script reads a cookie',
  )

  // Call the API.
  await page.getByRole('link', { name: 'Call the API' }).click()
  await page.waitForURL(`${url('web')}/orders`)
  t.strictSame(await jsonOf(page, 0), { of: claims.sub, orders: [] })
  await page.goto(url('web'))

  // Refresh; the server ends, and starts again.
  const [before] = await sessions()
  const refresh = async () => {
    // It leads back to the address at which it was pressed.
    const isBack = page.waitForEvent('load')
    await page.getByRole('button', { name: 'Refresh' }).click()
    await isBack
    t.equal(page.url(), `${url('web')}/`)
  }
  await refresh()
  await end(server.child)
  server = await startDev(t, { home, port: Number(new URL(issuer).port) })
  t.match(server.output, /^App {6}http:\/\/127\.0\.0\.1:3000, once/m)
  await refresh()
  t.equal((await jsonOf(page, 0)).sub, claims.sub, 'nobody has to log in again')
  const [after] = await sessions()
  t.strictSame([after.sid, after.generation], [before.sid, before.generation + 2])

  // Log in elsewhere.
  const spa = await context.newPage()
  await spa.goto(url('spa'))
  const continueAtSpa = async () => {
    await spa.getByRole('button', { name: 'Log in' }).click()
    // Another program on this machine could pass for it (RFC 8252 §8.6).
    await spa.getByRole('button', { name: 'Continue as demo' }).click()
  }
  await continueAtSpa()
  await spa.getByText('Hello Ada Demo.').waitFor()
  t.match(await jsonOf(spa, 0), { iss: issuer, aud: 'demo-spa', sub: claims.sub })
  t.equal(spa.url(), `${url('spa')}/`, 'the code is not in the address bar')
  await spa.getByRole('button', { name: 'Call the API' }).click()
  await spa.getByText('"orders": []').waitFor()
  await spa.reload()
  await spa.getByText('Hello Ada Demo.').waitFor()
  t.notMatch(await spa.content(), token, 'no token is in the page')
  t.strictSame(await spa.evaluate(keptKey), { extractable: false, elsewhere: 0 })

  // Log out.
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('link', { name: 'Log in' }).waitFor()
  t.equal(page.url(), `${url('web')}/`)
  await spa.getByRole('button', { name: 'Refresh' }).click()
  await spa.getByText('Nobody is logged in.').waitFor()
  t.strictSame(await sessions(), [], 'no session lives')
  await page.getByRole('link', { name: 'Log in' }).click()
  await page.waitForURL(`${issuer}/log-in?*`)

  // The other way round.
  await logInAs(page, password)
  await page.waitForURL(`${url('web')}/`)
  await continueAtSpa()
  await spa.getByRole('button', { name: 'Log out' }).click()
  await spa.getByText('Nobody is logged in.').waitFor()
  await page.getByRole('button', { name: 'Refresh' }).click()
  await page.getByText('Hello Ada Demo.').waitFor()
  t.match(await sessions(), [{ client_id: 'demo-web', state: 'living', generation: 1 }])

  // Pay: the API demands more than a password (RFC 9470), and there is nothing more yet.
  await page.getByRole('button', { name: 'Pay' }).click()
  await page.waitForURL(`${issuer}/log-in?*`)
  await logInAs(page, password)
  await page.waitForURL(`${issuer}/account/second-factor?*`)
  const key = (await page.locator('.key').textContent()) ?? ''
  const totp = new TOTP({ secret: key.replaceAll(' ', ''), digits: 6, period: 30, algorithm: 'SHA1' })
  await page.locator('input[name=code]').fill(totp.generate())
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'I have kept them' }).click()
  await page.waitForURL(`${url('web')}/`)
  t.match(await jsonOf(page, 0), { acr: 'mfa', amr: ['pwd', 'otp', 'mfa'], sub: claims.sub })
  await page.getByRole('button', { name: 'Pay' }).click()
  await page.waitForURL(`${url('web')}/pay`)
  t.strictSame(await jsonOf(page, 0), { paidBy: claims.sub }, 'then it goes through')
})

async function logInAs(page: Page, password: string): Promise<void> {
  await page.getByLabel('User name').fill('demo')
  await page.getByLabel('Password').fill(password)
  await page.locator('button[type=submit]').click()
}

/** Within the page: whether its key can be copied, and how much is kept where every script looks. */
const keptKey = `new Promise(resolve => {
  const opening = indexedDB.open('demo-spa')
  opening.onsuccess = () => {
    const asked = opening.result.transaction('kept').objectStore('kept').get('keys')
    asked.onsuccess = () => resolve({
      extractable: asked.result.privateKey.extractable,
      elsewhere: localStorage.length + sessionStorage.length,
    })
  }
})`

t.test('an app with log-in pages of its own asks again for what was wrong, and refreshes', async t => {
  const { home } = commandLine(t)
  const { issuer, output } = await startDev(t, { home })
  const [, password = ''] = /with the password (\S+)/.exec(output) ?? []
  const { stdout, stderr } = spawnSync(process.execPath, scriptArgs('example:native'), {
    cwd: join(import.meta.dirname, '../..'),
    env: { ...bareEnv, ISSUER: issuer },
    input: `demo\nwrong\ndemo\n${password}\n`,
    encoding: 'utf8',
  })
  t.match(stdout, 'Password: the user name or the password is wrong\n', stderr)
  t.match(stdout, 'Hello Ada Demo. You have logged in with pwd.\nA refresh has worked too.\n')
})

t.test('a device is let in by a browser elsewhere, in which its code is typed and confirmed', async t => {
  const { home } = commandLine(t)
  const { issuer, output } = await startDev(t, { home })
  const [, password = ''] = /with the password (\S+)/.exec(output) ?? []
  const device = await start(t, join(import.meta.dirname, '../..'), scriptArgs('example:device'), {
    env: { ISSUER: issuer },
    says: /this code: \S+\n/,
  })
  let said = ''
  device.child.stdout?.on('data', chunk => (said += String(chunk)))
  const [, address = '', code = ''] = /Open (\S+) .* this code: (\S+)\n/.exec(device.output) ?? []

  const context = await (await startChromium(t)).newContext({ viewport: { width: 320, height: 640 } })
  context.setDefaultTimeout(0)
  const page = await context.newPage()
  await page.goto(address)
  await page.getByLabel('Code on the device').fill(code.toLowerCase().replaceAll('-', ' '))
  await page.keyboard.press('Enter')
  await page.waitForURL(`${issuer}/log-in?*`)
  await logInAs(page, password)
  await page.getByText(code, { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Connect the device' }).click()
  t.equal(new URL(page.url()).pathname, '/device/confirm', 'the browser itself asks for the tick')
  await page.getByLabel('The device is in front of me').check()
  await page.getByRole('button', { name: 'Connect the device' }).click()
  await page.waitForURL(`${issuer}/message?*`)
  await until(async () => said.includes('A refresh has worked too.\n'))
  t.match(said, 'Hello Ada Demo. This device is connected.\n')
})

t.test('an agent calls a tool of an MCP server, once its user has logged in and allowed it', async t => {
  const { home, succeed } = commandLine(t)
  const { issuer, env, output } = await startDev(t, { home })
  const [, password = ''] = /with the password (\S+)/.exec(output) ?? []
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/mcp`
  await succeed(`resource create ${url} --scope read`, { env })
  await succeed(`client update demo-agent --resource ${url}`, { env })
  const root = join(import.meta.dirname, '../..')
  await start(t, root, scriptArgs('example:mcp'), {
    env: { ISSUER: issuer, PORT: String(port) },
    says: /listening at http/,
  })
  const agent = await start(t, root, scriptArgs('example:agent'), {
    env: { MCP_URL: url },
    says: /Open this in your browser:\n\n\S+\n/,
  })
  let said = ''
  agent.child.stdout?.on('data', chunk => (said += String(chunk)))
  const [, address = ''] = /browser:\n\n(\S+)\n/.exec(agent.output) ?? []

  const page = await (await startChromium(t)).newPage()
  page.setDefaultTimeout(0)
  await page.goto(address)
  await logInAs(page, password)
  await page.getByRole('button', { name: 'Allow', exact: true }).click()
  await page.getByText('Go back to the agent.').waitFor()
  await until(async () => agent.child.exitCode !== null)
  t.match(said, /says that this is [0-9a-f-]{36} by demo-agent\.\n/)
  t.equal(agent.child.exitCode, 0)
})

t.test('a client leaves the password grant as the README says, and logs nobody out', async t => {
  const { home, call, succeed } = commandLine(t)
  const metricsPort = String(await freePort())
  const { issuer, env, output } = await startDev(t, { home, env: { MINTMARK_METRICS_PORT: metricsPort } })
  const [, password = ''] = /with the password (\S+)/.exec(output) ?? []
  const created = await succeed(
    'client create --id shop --json --grant password refresh_token --resource https://api.example --scope read',
    { env },
  )
  const { client_secret } = created.json()
  const post = async (form: Record<string, string>) => {
    const body = new URLSearchParams({ client_id: 'shop', client_secret, ...form })
    return Object(await (await fetch(`${issuer}/token`, { method: 'POST', body })).json())
  }
  const byPassword = { grant_type: 'password', username: 'demo', password }

  const commands = blockBehind('Either way it moves').trim().split('\n')
  t.equal(commands.length, 3)
  const perform = async (command = ''): Promise<string> => {
    const [, filter] = /^curl -sS 127\.0\.0\.1:9001\/metrics \| grep '(.*)'$/.exec(command) ?? []
    if (filter === undefined) {
      const { code, stdout, stderr } = await call(command.replace('./mintmark ', ''), { env })
      t.equal(code, 0, stderr)
      return stdout
    }
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    return text
      .split('\n')
      .filter(line => line.includes(filter))
      .join('\n')
  }
  const { refresh_token } = await post(byPassword)
  await perform(commands[0])
  t.match(await post(byPassword), { token_type: 'Bearer' }, 'both ways')
  const uri = 'https://shop.example/callback'
  const query = new URLSearchParams({
    client_id: 'shop',
    redirect_uri: uri,
    response_type: 'code',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  await until(async () => {
    const asked = await fetch(`${issuer}/authorize?${query}`, { redirect: 'manual' })
    return asked.headers.get('location')?.startsWith(`${issuer}/log-in?request=`) === true
  })
  t.match(await perform(commands[1]), /outcome="granted".* 2$/m, 'who has not moved yet')
  await perform(commands[2])
  await until(async () => (await post(byPassword)).error === 'unauthorized_client')
  t.match(await post({ grant_type: 'refresh_token', refresh_token }), { token_type: 'Bearer' })
})
