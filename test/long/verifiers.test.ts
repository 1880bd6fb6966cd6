import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeProtectedHeader } from 'jose'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { freePort } from '../helpers/free-port.ts'
import {
  algs,
  audienceOf,
  loadVerifier,
  matrix,
  snippets,
  type LibraryVerifier,
} from '../helpers/library-verifiers.ts'

/** How often each ring must have rotated by itself. */
const rotationsWanted = Number(process.env['TEST_ROTATIONS'] ?? 4)

/** The shortest lead with which all six have time enough: oauth4webapi looks again after 60 s. */
const policy = { MINTMARK_JWKS_MAX_AGE: '30s', MINTMARK_KEY_ROTATION_INTERVAL: '70s' }
const tokenSeconds = 90
/** Every so many seconds some APIs start anew, which are then at another point between two rotations. */
const restartSeconds = 10
const sets = 8

t.test(
  'invariant 6: six libraries, each with its default caches, fail no verification in real time',
  async t => {
    const cli = commandLine(t)
    const port = await freePort()
    const origin = `http://127.0.0.1:${port}`
    const env = {
      ...policy,
      MINTMARK_ISSUER: origin,
      MINTMARK_PORT: String(port),
      MINTMARK_ACCESS_TOKEN_TTL: `${tokenSeconds}s`,
    }
    const call = async (args: string) => {
      const outcome = await cli.call(args, { env })
      if (outcome.code !== 0) throw new Error(`mintmark ${args} failed: ${outcome.stderr}`)
      return outcome
    }
    await call('db migrate')
    for (const alg of algs) await call(`resource create ${audienceOf(alg)} --scope read --alg ${alg}`)
    const resources = algs.map(alg => `--resource ${audienceOf(alg)}`).join(' ')
    const made = await call(
      `client create --id app --grant client_credentials --scope read ${resources} --json`,
    )
    const server = await cli.serve(env)

    const signers = new Map(algs.map(alg => [alg, new Set<string>()]))
    let living: { alg: string; kid: string; jwt: string; until: number }[] = []
    const mint = async (alg: string) => {
      const { status, body } = await server.post('/token', {
        grant_type: 'client_credentials',
        client_id: 'app',
        client_secret: made.json().client_secret,
        resource: audienceOf(alg),
      })
      if (status !== 200) throw new Error(`/token answered ${status}: ${JSON.stringify(body)}`)
      const { kid = '', alg: signedWith } = decodeProtectedHeader(body.access_token)
      // A new ring's resource keeps its old algorithm for a lead.
      if (signedWith !== alg) return
      signers.get(alg)?.add(kid)
      living.push({ alg, kid, jwt: body.access_token, until: performance.now() + (tokenSeconds - 15) * 1000 })
    }
    const mintAll = async () => {
      living = living.filter(({ until }) => until > performance.now())
      await Promise.all(algs.map(mint))
    }

    while ([...signers.values()].some(kids => kids.size === 0)) {
      await mintAll()
      await sleep(1000)
    }
    for (const kids of signers.values()) kids.clear()

    const directory = join(cli.home, 'apis')
    mkdirSync(directory)
    const start = async (): Promise<LibraryVerifier[]> => {
      const able = snippets.flatMap((snippet, row) =>
        algs.filter((_, column) => matrix[row]?.[column + 1] === 'yes').map(alg => ({ snippet, alg })),
      )
      return Promise.all(able.map(({ snippet, alg }) => loadVerifier(snippet, { alg, origin, directory })))
    }
    const steadfast = await start()
    let restarted: LibraryVerifier[][] = []
    t.teardown(() => [steadfast, ...restarted].flat().forEach(({ close }) => close()))

    const failures = new Map<string, string[]>()
    let verifications = 0
    let ofOldKeys = 0
    let starts = steadfast.length
    const began = performance.now()
    const rotations = () => Math.min(...[...signers.values()].map(kids => kids.size - 1))
    let nextStart = began
    while (rotations() < rotationsWanted) {
      const second = performance.now()
      if (second >= nextStart) {
        nextStart += restartSeconds * 1000
        const fresh = await start()
        starts += fresh.length
        restarted = [fresh, ...restarted]
        for (const { close } of restarted.splice(sets).flat()) close()
      }
      await mintAll()
      for (const { title, alg, verify } of [steadfast, ...restarted].flat()) {
        const own = living.filter(held => held.alg === alg)
        const [oldest, newest] = [own[0], own.at(-1)]
        for (const held of new Set([oldest, newest])) {
          if (!held) continue
          verifications++
          if (held.kid !== newest?.kid) ofOldKeys++
          await verify(held.jwt).catch(error => {
            const at = Math.round((performance.now() - began) / 1000)
            failures.set(title, [...(failures.get(title) ?? []), `after ${at} s: ${error}`])
          })
        }
      }
      await sleep(Math.max(0, second + 2000 - performance.now()))
    }
    const keys = [...signers.values()].reduce((sum, kids) => sum + kids.size, 0)
    const seconds = Math.round((performance.now() - began) / 1000)
    t.comment(
      `${verifications} verifications in ${seconds} s, ${ofOldKeys} of them of tokens by a key that had retired; ` +
        `${starts} verifiers were started; ${keys} keys have signed, at least ${rotations()} rotations of each ring`,
    )
    t.strictSame(
      [...failures].map(([title, texts]) => `${title}: ${texts.length} times, the first ${texts[0]}`),
      [],
      'zero failed verifications',
    )
    t.ok(ofOldKeys > 0, 'tokens were verified whose key had retired')
  },
)
