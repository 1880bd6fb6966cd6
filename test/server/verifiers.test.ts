import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import { listSigningKeys, requestRotation } from '../../db/keys/signing-keys.ts'
import { phaseOf } from '../../src/keys/ring/key-life.ts'
import { freePort } from '../helpers/free-port.ts'
import { notQuick, shareOf } from '../helpers/runs.ts'
import { startedAt, startServer } from '../helpers/server.ts'
import {
  algs,
  audienceOf,
  loadVerifier,
  matrix,
  snippets,
  type LibraryVerifier,
} from '../helpers/library-verifiers.ts'

t.test(
  'invariant 6: no library fails a verification, with its default caches, through rotations',
  notQuick,
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
    const verifiers: LibraryVerifier[] = []
    const measured: string[][] = []
    for (const snippet of snippets) {
      const verdicts: string[] = []
      for (const alg of algs) {
        try {
          const verifier = await loadVerifier(snippet, { alg, origin, directory })
          t.teardown(verifier.close)
          const right = await token(alg)
          await verifier.verify(right)
          const changed = right.replace(/[^.](?=[^.]{20}$)/, last => (last === 'A' ? 'B' : 'A'))
          await t.rejects(
            verifier.verify(changed),
            `${verifier.title} refuses a token with another signature`,
          )
          verifiers.push(verifier)
          verdicts.push('yes')
        } catch (error) {
          t.comment(snippet.name, alg, String(error))
          verdicts.push('no')
        }
      }
      measured.push([snippet.name, ...verdicts])
    }
    t.strictSame(measured, matrix, 'the table in docs/verifying.md is what was measured')

    const failures: string[] = []
    const kids = new Set<string>()
    let living: { alg: string; jwt: string; until: number }[] = []
    // Three leads of 610 seconds, and an administrator who has the keys rotated all the time.
    const stepSeconds = 1920 / shareOf(96)
    for (let step = 0; step < shareOf(96); step++) {
      for (const row of await listSigningKeys(server.ctx.db)) {
        if (phaseOf(row) !== 'active') continue
        kids.add(row.kid)
        await requestRotation(server.ctx.db, row.kid, server.ctx.clock.now())
      }
      await live(stepSeconds)
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

t.test('docs/verifying.md: each library of the table has its lines on the page of its language', async t => {
  const docs = join(import.meta.dirname, '../../docs')
  const overview = readFileSync(join(docs, 'verifying.md'), 'utf8')
  const linked = new Set<string>()
  let text = ''
  for (const [, languages = '', library = ''] of overview.matchAll(
    /^\| ?(.*?) ?\| (.+?) \|(?: \w+ \|){5}$/gm,
  )) {
    if (languages === 'language') continue
    for (const [, page = ''] of languages.matchAll(/\]\(verifying\/([\w.]+)\)/g)) {
      linked.add(page)
      text = readFileSync(join(docs, 'verifying', page), 'utf8')
      t.match(text, /^```/m, `${page} has some lines`)
    }
    // A page of one library has no sections.
    if (text.includes('\n## ')) t.match(text, `\n## ${library}\n`, `those for ${library} are there`)
  }
  t.strictSame([...linked].sort(), readdirSync(join(docs, 'verifying')).sort(), 'and no page is left out')
})
