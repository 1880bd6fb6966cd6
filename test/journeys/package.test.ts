import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { publint } from 'publint'
import t from 'tap'
import { freePort } from '../helpers/free-port.ts'
import { compiler, install, pack, run } from '../helpers/packed.ts'
import { isInFull } from '../helpers/runs.ts'

const root = join(import.meta.dirname, '../..')
const packed = pack()
/** An API of somebody else, and a server. */
const api = install(t, packed.kit, 'fastify', '@types/node')
const home = install(t, packed.server)
const kitFolder = join(api, 'node_modules/@mintmark/resource-server')
const serverFolder = join(home, 'node_modules/mintmark')

const read = (...path: string[]) => readFileSync(join(...path), 'utf8')
const manifest = (folder: string) => JSON.parse(read(folder, 'package.json'))

t.test('publint and attw find nothing wrong with the packages, and both are of one version', async t => {
  for (const tarball of [packed.server, packed.kit]) {
    const bytes = new Uint8Array(readFileSync(tarball))
    const { messages } = await publint({ pack: { tarball: bytes.buffer }, strict: true })
    t.strictSame(messages, [], `publint: ${tarball}`)
    const checked = await checkPackage(createPackageFromTarballData(bytes))
    t.strictSame(checked.types === false ? [] : checked.problems, [], `attw: ${tarball}`)
  }
  t.equal(manifest(kitFolder).version, manifest(serverFolder).version)
})

t.test('who wants the kit gets jose beside it, and nothing else', async t => {
  const project = install(t, packed.kit)
  const modules = join(project, 'node_modules')
  t.strictSame(Object.keys(JSON.parse(read(modules, '.package-lock.json')).packages), [
    'node_modules/@mintmark/resource-server',
    'node_modules/jose',
  ])
  const script = `for (const entry of ['', '/connect', '/fastify']) {
    const name = '@mintmark/resource-server' + entry
    const required = require(name)
    import(name).then(imported => console.log(name, Object.keys(imported).every(key => imported[key] === required[key])))
  }`
  const { output } = run(project, process.execPath, ['-e', script])
  const line = (entry: string) => `@mintmark/resource-server${entry} true\n`
  t.equal(output, ['', '/connect', '/fastify'].map(line).join(''), 'and both ways to load it give the same')
})

/** The same for a module and for CommonJS. */
const program = `
import { createServer } from 'node:http'
import { fastify } from 'fastify'
import { createVerifier, BearerError, type AccessToken, type VerifierOptions } from '@mintmark/resource-server'
import { resourceServer } from '@mintmark/resource-server/fastify'
import { resourceServer as connect, type Middleware } from '@mintmark/resource-server/connect'

const [, , issuer = '', token = ''] = process.argv
const options: VerifierOptions = { issuer, audience: 'https://api.example' }
const send = { authorization: \`Bearer \${token}\` }

async function main(): Promise<void> {
  const app = fastify()
  await app.register(resourceServer, options)
  app.get('/', { onRequest: app.requireScope('read') }, async request => request.accessToken.sub.length)
  const wrong = () => {
    // @ts-expect-error there is no such option
    void app.register(resourceServer, { ...options, audiance: '' })
    // @ts-expect-error claims are not changed
    app.get('/x', async request => { request.accessToken.sub = 'x' })
  }
  const answers = [await app.inject({ url: '/' }), await app.inject({ url: '/', headers: send })]

  const middleware: Middleware = connect(options)('read')
  const server = createServer((request, response) => middleware(request, response, () => response.end()))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = \`http://127.0.0.1:\${Object(server.address()).port}\`
  const responses = [await fetch(url), await fetch(url, { headers: send })]
  server.close()

  const verifier = createVerifier(options)
  const claims: AccessToken = await verifier.verify(token)
  const status = (error: unknown): number => (error instanceof BearerError ? error.status : 500)
  const refused = await verifier.verify('x').then(() => 0, status)
  console.log(JSON.stringify({
    fastify: answers.map(answer => answer.statusCode),
    connect: responses.map(response => response.status),
    verifier: [refused, claims.client_id],
  }))
}
void main()
`

t.test(
  'the packages are installed in empty projects: a server runs, and APIs of both kinds take its tokens',
  async t => {
    writeFileSync(join(api, 'api.mts'), program)
    writeFileSync(join(api, 'api.cts'), program)
    cpSync(join(root, 'examples/fastify-api.ts'), join(api, 'example.mts'))
    for (const module of isInFull ? ['node16', 'nodenext'] : ['nodenext']) {
      const options = ['--strict', '--target', 'es2024', '--types', 'node', '--module', module]
      const files = ['api.mts', 'api.cts', 'example.mts']
      const outcome = run(api, process.execPath, [compiler, ...options, ...files])
      t.strictSame(outcome, { status: 0, output: '' }, `TypeScript, module ${module}`)
    }

    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const server = spawn(join(home, 'node_modules/.bin/mintmark'), ['dev'], {
      cwd: home,
      env: {
        PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
        MINTMARK_PORT: String(port),
        MINTMARK_METRICS_PORT: '0',
      },
    })
    const ended = once(server, 'close')
    t.teardown(() => void server.kill('SIGKILL'))
    let output = ''
    for (const stream of [server.stdout, server.stderr]) stream.on('data', chunk => (output += String(chunk)))
    while (!/Ctrl-C/.test(output)) {
      await Promise.race([once(server.stdout, 'data'), ended])
      if (server.exitCode !== null) throw new Error(output)
    }
    const [, credentials = '', password = ''] = /-u (\S+) .*-d password=(\S+)/.exec(output) ?? []
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(credentials)}` },
      body: new URLSearchParams({ grant_type: 'password', username: 'demo', password }),
    })
    const { access_token } = Object(await response.json())
    for (const file of ['api.mjs', 'api.cjs']) {
      const { output } = run(api, process.execPath, [file, issuer, access_token])
      t.match(output, /^\{.*\}\n$/)
      t.strictSame(
        JSON.parse(output),
        { fastify: [401, 200], connect: [401, 200], verifier: [401, 'demo'] },
        file,
      )
    }
    server.kill('SIGTERM')
    await ended
  },
)

t.test('each link within the documentation of a package leads to something in it', async t => {
  for (const folder of [serverFolder, kitFolder]) {
    const documents = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(file =>
      file.endsWith('.md'),
    )
    t.ok(documents.includes('README.md'))
    for (const document of documents) {
      for (const [, link = ''] of read(folder, document).matchAll(/\]\((?!https:)([^)\s]+)\)/g)) {
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? document : join(dirname(document), path)
        t.ok(existsSync(join(folder, target)), `${document}: ${link}`)
        if (anchor !== undefined) t.ok(anchors(read(folder, target)).includes(anchor), `${document}: ${link}`)
      }
    }
  }
})

/** What can be linked to, as Git hosts name the headings of a document. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

t.test(
  'what the systemd unit names in the installed package is there, in the version that it installs',
  async t => {
    const unit = read(serverFolder, 'deploy/mintmark.service')
    const named = [...unit.matchAll(/\/usr\/local\/lib\/node_modules\/mintmark\/(\S+)/g)].map(
      ([, file = '']) => file,
    )
    t.strictSame(named, ['deploy/mintmark.service', 'README.md'])
    for (const file of named) t.ok(existsSync(join(serverFolder, file)), file)
    t.match(unit, `./mintmark-${manifest(serverFolder).version}.tgz`)
    t.match(unit, /^ExecStart=\/usr\/local\/bin\/mintmark serve$/m)
  },
)

t.test('what is secret in a checkout is in no package', async t => {
  const files = readdirSync(serverFolder, { recursive: true, encoding: 'utf8' })
  t.ok(files.includes('deploy/compose.yaml'))
  t.strictSame(
    files.filter(file => /^deploy\/(secrets|\.env)|^(db|keys|\.env)\b|\.sqlite/.test(file)),
    [],
  )
})
