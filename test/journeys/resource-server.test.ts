import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { commandLine, mainFile } from '../cli.ts'
import { freePort } from '../free-port.ts'

const root = join(import.meta.dirname, '../..')
const modules = join(root, 'node_modules')

/** A directory in which the package is installed as it is published, beside nothing but the modules named. */
function install(t: Test, ...names: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-kit-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const packed = join(directory, 'node_modules/mintmark')
  mkdirSync(packed, { recursive: true })
  cpSync(join(root, 'package.json'), join(packed, 'package.json'))
  cpSync(dist, join(packed, 'dist'), { recursive: true })
  for (const name of names) {
    mkdirSync(dirname(join(directory, 'node_modules', name)), { recursive: true })
    symlinkSync(join(modules, name), join(directory, 'node_modules', name))
  }
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  return directory
}

const dist = mkdtempSync(join(tmpdir(), 'mintmark-dist-'))
t.teardown(() => rmSync(dist, { recursive: true, force: true }))

function run(directory: string, ...args: string[]) {
  // Without what tap gives its child processes, which the compiler does not take.
  const withoutTap = ['-u', 'NODE_OPTIONS', process.execPath]
  const { status, stdout, stderr } = spawnSync('env', [...withoutTap, ...args], {
    cwd: directory,
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

const compiler = join(modules, 'typescript/bin/tsc')

t.before(() => {
  const built = run(root, compiler, '-p', 'tsconfig.build.json', '--outDir', dist)
  if (built.status !== 0) throw new Error(built.output)
})

t.test('the kit is in the package, with its types, and needs jose alone', async t => {
  const directory = install(t, 'jose')
  writeFileSync(
    join(directory, 'api.js'),
    `import { createVerifier, BearerError } from 'mintmark/resource-server'
     import { resourceServer } from 'mintmark/resource-server/connect'
     const options = { issuer: 'https://as.example', audience: 'https://api.example' }
     console.log(typeof createVerifier(options).verify, typeof resourceServer(options)('read'), BearerError.name)`,
  )
  t.strictSame(run(directory, 'api.js'), { status: 0, output: 'function function BearerError\n' })

  const typed = install(t, 'jose', 'fastify', 'fastify-plugin', '@types/node')
  writeFileSync(
    join(typed, 'api.ts'),
    `import { fastify } from 'fastify'
     import { createVerifier, BearerError, type AccessToken } from 'mintmark/resource-server'
     import { resourceServer } from 'mintmark/resource-server/fastify'
     import { resourceServer as connect, type Middleware } from 'mintmark/resource-server/connect'
     const options = { issuer: 'https://as.example', audience: 'https://api.example' }
     const app = fastify()
     await app.register(resourceServer, options)
     app.get('/', { onRequest: app.requireScope('read') }, async request => request.accessToken.sub.length)
     // @ts-expect-error there is no such option
     await app.register(resourceServer, { ...options, audiance: '' })
     // @ts-expect-error claims are not changed
     app.get('/x', async request => { request.accessToken.sub = 'x' })
     export const token: Promise<AccessToken> = createVerifier(options).verify('x')
     export const middleware: Middleware = connect(options)('read')
     export const status = (error: unknown): number => (error instanceof BearerError ? error.status : 500)`,
  )
  const compilerOptions = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--types',
    'node',
  ]
  t.strictSame(run(typed, compiler, ...compilerOptions, '--skipLibCheck', 'api.ts'), {
    status: 0,
    output: '',
  })
  cpSync(join(root, 'examples/fastify-api.ts'), join(typed, 'example.ts'))
  t.strictSame(run(typed, compiler, ...compilerOptions, '--skipLibCheck', 'example.ts'), {
    status: 0,
    output: '',
  })
})

interface Started {
  readonly child: ChildProcess
  readonly output: string
}

/** Starts a program and waits until it has said something. */
async function start(
  t: Test,
  directory: string,
  args: string[],
  { env, says }: { readonly env: Record<string, string>; readonly says: RegExp },
): Promise<Started> {
  const child = spawn(process.execPath, args, { cwd: directory, env: { PATH: process.env['PATH'], ...env } })
  t.teardown(() => end(child))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += String(chunk)))
  while (!says.test(output)) {
    if (child.exitCode !== null) throw new Error(output)
    await sleep(20)
  }
  return { child, output }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'close')
}

/** Waits for what must be so in a while; how long, the test's own limit says. */
async function until(isSo: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now()
  while (!(await isSo())) await sleep(50)
  return performance.now() - startedAt
}

t.test('the examples: two APIs, and a server that revokes, goes away and comes back', async t => {
  const { home, succeed } = commandLine(t)
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const env = {
    MINTMARK_HOME: home,
    MINTMARK_PORT: String(port),
    MINTMARK_METRICS_PORT: '0',
    MINTMARK_ISSUER: issuer,
    MINTMARK_STATUS_LIST_DELAY: '2s',
  }
  const dev = { env, says: /Ctrl-C ends/ }
  const { child: server, output } = await start(t, root, [mainFile, 'dev'], dev)
  const [, secret, password] = /-u demo:(\S+) .*-d password=(\S+)/.exec(output) ?? []
  if (secret === undefined || password === undefined) throw new Error(output)
  const logIn = async (scope = 'read write') => {
    const form = {
      grant_type: 'password',
      client_id: 'demo',
      client_secret: secret,
      username: 'demo',
      password,
      scope,
    }
    const response = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(form) })
    return String(Object(await response.json()).access_token)
  }

  const directory = install(t, 'jose', 'fastify', 'fastify-plugin', 'express')
  cpSync(join(root, 'examples'), join(directory, 'examples'), { recursive: true })
  const apis = await Promise.all(
    ['fastify-api.ts', 'express-api.js'].map(async example => {
      const own = await freePort()
      await start(t, directory, [`examples/${example}`], {
        env: { ISSUER: issuer, PORT: String(own) },
        says: /listening/,
      })
      return { name: example, url: `http://127.0.0.1:${own}` }
    }),
  )
  const get = (url: string, token?: string, method = 'GET') =>
    fetch(`${url}/orders`, {
      method,
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    })

  const [kept, revoked, narrow] = [await logIn(), await logIn(), await logIn('read')]
  for (const { name, url } of apis) {
    t.equal((await fetch(url)).status, 200, `${name}: what has no hook is open`)
    const none = await get(url)
    t.equal(none.status, 401)
    t.match(none.headers.get('www-authenticate'), /^Bearer realm="api", DPoP realm="api", algs="[^"]*"$/)
    t.match(none.headers.get('content-type'), /^application\/json/)
    t.match(await none.json(), { error: 'no_token' })
    t.equal((await get(url, 'garbage')).status, 401)
    const good = await get(url, kept)
    t.equal(good.status, 200)
    t.match(await good.json(), { of: /^[0-9a-f-]{36}$/, orders: [] })
    const forbidden = await get(url, narrow, 'POST')
    t.equal(forbidden.status, 403)
    t.match(forbidden.headers.get('www-authenticate'), /error="insufficient_scope".*scope="read write"/)
    t.equal((await get(url, kept, 'POST')).status, 201)
    t.equal((await get(url, revoked)).status, 200)
  }

  const form = { client_id: 'demo', client_secret: secret, token: revoked }
  t.equal((await fetch(`${issuer}/revoke`, { method: 'POST', body: new URLSearchParams(form) })).status, 200)
  for (const { name, url } of apis) {
    const delay = await until(async () => (await get(url, revoked)).status === 401)
    t.comment(`${name}: revoked ${Math.round(delay)} ms later`)
    t.equal((await get(url, kept)).status, 200, `${name}: another session lives on`)
  }

  await end(server)
  await sleep(2500)
  for (const { name, url } of apis) {
    t.equal((await get(url, kept)).status, 200, `${name}: the server is away, and its list still good`)
    t.equal((await get(url, revoked)).status, 401)
  }
  await succeed('session revoke --user demo --yes', { env })
  const again = await start(t, root, [mainFile, 'dev'], dev)
  t.match(again.output, /^  \.\/mintmark user passwd demo$/m, 'what is told to be run can be run')
  for (const { name, url } of apis) {
    await until(async () => (await get(url, kept)).status === 401)
    t.pass(`${name}: what was revoked meanwhile is refused once the server is back`)
  }
})
