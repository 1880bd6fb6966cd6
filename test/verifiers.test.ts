import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import { listSigningKeys, requestRotation } from '../db/signing-keys.ts'
import { phaseOf } from '../src/keys/key-life.ts'
import { freePort } from './free-port.ts'
import { startedAt, startServer } from './helper.ts'

const algs = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']
const doc = readFileSync(join(import.meta.dirname, '../docs/verifying.md'), 'utf8')
const snippets = [...doc.matchAll(/^## (.+)\n\n```js\n([^]+?)```/gm)].map(([, name = '', code = '']) => ({
  name,
  code,
}))
const rows = [...doc.matchAll(/^\| ((?!library|---).+) \|$/gm)].map(([, row = '']) => row.split(' | '))
const audienceOf = (alg: string) => `https://${alg.toLowerCase()}.example`

/** What two libraries need where there is no https; all else of theirs stays as it is. */
const withoutHttps: Record<string, string> = {
  oauth4webapi: 'const options = { [oauth.allowInsecureRequests]: true }',
  'aws-jwt-verify': `import { SimpleJwksCache } from 'aws-jwt-verify/jwk'
const fetcher = { fetch: async uri => (await fetch(uri)).arrayBuffer() }
const options = { jwksCache: new SimpleJwksCache({ fetcher }) }`,
}

/** The verifier of a snippet: rejects a token that is refused. */
async function load(file: string): Promise<(token: string) => Promise<unknown>> {
  const { verify, middleware } = await import(file)
  if (verify) return async token => verify(token)
  return token =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string> = { authorization: `Bearer ${token}`, host: 'api.example' }
      const request = {
        headers,
        query: {},
        is: () => false,
        method: 'GET',
        protocol: 'https',
        host: 'api.example',
        hostname: 'api.example',
        url: '/',
        originalUrl: '/',
        get: (name: string) => headers[name.toLowerCase()],
      }
      middleware(request, {}, (error: unknown) => (error ? reject(error) : resolve(undefined)))
    })
}

t.test(
  'invariant 6: no library fails a verification, with its default caches, through rotations',
  async t => {
    const reserved = await freePort()
    const origin = `http://127.0.0.1:${reserved}`
    const server = await startServer(t, { MINTMARK_ISSUER: origin })
    await server.app.listen({ host: '127.0.0.1', port: reserved })
    for (const alg of algs) await server.resource(audienceOf(alg), { alg })
    const client = await server.client('app', { resources: algs.map(audienceOf).join(' ') })

    const steady = performance.now.bind(performance)
    let passed = 0
    mock.timers.enable({ apis: ['Date'], now: startedAt * 1000 })
    performance.now = () => steady() + passed * 1000
    t.teardown(() => {
      mock.timers.reset()
      performance.now = steady
    })
    const live = async (seconds: number) => {
      server.tick(seconds)
      passed += seconds
      mock.timers.setTime((startedAt + passed) * 1000)
      await server.follow()
    }
    const token = async (alg: string): Promise<string> => {
      const form = { grant_type: 'client_credentials', resource: audienceOf(alg) }
      const response = await server.post('/token', form, client.headers)
      return response.json().access_token
    }
    for (let step = 0; step < 63; step++) await live(10)

    const directory = t.testdir()
    const verifiers: { title: string; alg: string; verify: (token: string) => Promise<unknown> }[] = []
    const matrix: string[][] = []
    for (const [index, { name, code }] of snippets.entries()) {
      const verdicts: string[] = []
      for (const alg of algs) {
        const file = join(directory, `${index}-${alg}.mjs`)
        writeFileSync(
          file,
          code
            .replace('const options = {}', withoutHttps[name] ?? '$&')
            .replaceAll('https://as.example', origin)
            .replaceAll('https://api.example', audienceOf(alg))
            .replaceAll("'ES256'", `'${alg}'`),
        )
        try {
          const verify = await load(file)
          const right = await token(alg)
          await verify(right)
          const changed = right.replace(/[^.](?=[^.]{20}$)/, last => (last === 'A' ? 'B' : 'A'))
          await t.rejects(verify(changed), `${name} ${alg} refuses a token with another signature`)
          verifiers.push({ title: `${name} ${alg}`, alg, verify })
          verdicts.push('yes')
        } catch (error) {
          t.comment(name, alg, String(error))
          verdicts.push('no')
        }
      }
      matrix.push([name, ...verdicts])
    }
    t.strictSame(matrix, rows, 'the table in docs/verifying.md is what was measured')

    const failures: string[] = []
    const kids = new Set<string>()
    let living: { alg: string; jwt: string; until: number }[] = []
    // Three leads of 610 seconds, and an administrator who has the keys rotated all the time.
    for (let step = 0; step < 96; step++) {
      for (const row of await listSigningKeys(server.ctx.db)) {
        if (phaseOf(row) !== 'active') continue
        kids.add(row.kid)
        await requestRotation(server.ctx.db, row.kid, server.ctx.now())
      }
      await live(20)
      for (const alg of algs) living.push({ alg, jwt: await token(alg), until: passed + 290 })
      living = living.filter(({ until }) => until > passed)
      for (const { title, alg, verify } of verifiers) {
        const own = living.filter(held => held.alg === alg)
        for (const held of [own[0], own.at(-1)])
          if (held) await verify(held.jwt).catch(error => failures.push(`${title} at ${passed}: ${error}`))
      }
    }
    t.strictSame(failures, [], 'zero failed verifications')
    t.ok(kids.size >= 3 * algs.length, `each ring has rotated: ${kids.size} keys have signed`)
  },
)
