import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { BearerError, createVerifier } from '../src/resource-server/verifier.ts'
import { freePort } from '../test/helpers/free-port.ts'
import { basic, password, resource, startMintmark, username } from './mintmark.ts'

/*
 * npm run bench:revocation [-- --runs N] [--quick]
 *
 * How long a token goes on working after POST /revoke has answered, for a resource server that verifies
 * locally and knows nothing of status lists, for one with the kit, and for one that introspects. Each run
 * revokes a session at a random moment in the life of its access token and tries it until it is refused. With
 * the default settings (five minutes and a little more), and with shorter ones; `--quick` is the shorter ones
 * alone.
 */
const { values } = parseArgs({
  options: { runs: { type: 'string', default: '40' }, quick: { type: 'boolean', default: false } },
})
const runs = Number(values.runs)
const allSettings = [
  { tokenSeconds: 60, delaySeconds: 10 },
  { tokenSeconds: 300, delaySeconds: 60 },
]

const rows: string[] = []
for (const settings of values.quick ? allSettings.slice(0, 1) : allSettings) await measure(settings)
process.stdout.write(
  `\ntoken life  list delay  way                     runs  median s  worst s\n${rows.join('\n')}\n`,
)

async function measure({ tokenSeconds, delaySeconds }: (typeof allSettings)[number]): Promise<void> {
  process.stderr.write(`tokens of ${tokenSeconds} s, lists of ${delaySeconds} s, ${runs} runs of each way\n`)
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const server = await startMintmark({
    sessions: 1,
    cpu: 0,
    env: {
      MINTMARK_PORT: String(port),
      MINTMARK_ISSUER: issuer,
      MINTMARK_ACCESS_TOKEN_TTL: `${tokenSeconds}s`,
      MINTMARK_STATUS_LIST_DELAY: `${delaySeconds}s`,
    },
  })
  const post = async (path: string, form: Record<string, string>) => {
    const headers = { authorization: basic }
    const response = await fetch(issuer + path, { method: 'POST', headers, body: new URLSearchParams(form) })
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}`)
    return (await response.json()) as { access_token: string; refresh_token: string; active?: boolean }
  }
  const logIns: { access_token: string; refresh_token: string }[] = []
  while (logIns.length < 2 * runs + 1) {
    logIns.push(await post('/token', { grant_type: 'password', username, password }))
  }
  // Several APIs, which began at different times.
  const kits = Array.from({ length: 8 }, () => createVerifier({ issuer, audience: resource }))
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
  const inUse = new AbortController()
  const calm = logIns.at(-1)?.access_token ?? ''
  const use = kits.map(async kit => {
    await sleep(Math.random() * delaySeconds * 1000)
    while (!inUse.signal.aborted) {
      await kit.verify(calm).catch(() => {}) // its token runs out before the end
      await sleep(200)
    }
  })

  const delays = { local: [] as number[], kit: [] as number[], introspection: [] as number[] }
  /**
   * Revokes after so many seconds, and resolves with how long the token was still good in the eyes of each.
   */
  const revokeAndTry = async (
    i: number,
    afterSeconds: number,
    ways: Partial<Record<keyof typeof delays, (token: string) => Promise<boolean>>>,
  ) => {
    const logIn = logIns[i]
    if (!logIn) throw new Error('unreachable: there are as many log-ins as runs')
    await sleep(afterSeconds * 1000)
    for (const isGood of Object.values(ways)) {
      if (!(await isGood(logIn.access_token))) throw new Error('a token is refused before it was revoked')
    }
    await post('/revoke', { token: logIn.refresh_token })
    const at = performance.now()
    await Promise.all(
      Object.entries(ways).map(async ([way, isGood]) => {
        while (await isGood(logIn.access_token)) await sleep(20)
        delays[way as keyof typeof delays].push((performance.now() - at) / 1000)
      }),
    )
  }
  /** Only a finding that the token is no good counts: not, for instance, that it cannot be told. */
  const isAccepted = (verified: Promise<unknown>) =>
    verified.then(
      () => true,
      (error: unknown) => {
        const isRefusal =
          error instanceof BearerError ? error.code === 'invalid_token' : error instanceof errors.JWTExpired
        if (!isRefusal) throw error
        return false
      },
    )
  const local = (token: string) => isAccepted(jwtVerify(token, keys, { issuer, audience: resource }))
  const kitVerifier = (i: number) => (token: string) =>
    isAccepted((kits[i % kits.length] as (typeof kits)[0]).verify(token))
  const introspect = async (token: string) => (await post('/introspect', { token })).active === true

  const tellTime = setInterval(
    () => process.stderr.write(`${Object.values(delays).flat().length} of ${3 * runs} have ended\n`),
    30_000,
  )
  await Promise.all(
    Array.from({ length: runs }, async (_, i) => {
      // Early enough that it is the list, and not its end, that ends the token.
      const early = 1 + Math.random() * (tokenSeconds - delaySeconds - 6)
      await Promise.all([
        revokeAndTry(i, early, { kit: kitVerifier(i), introspection: introspect }),
        revokeAndTry(runs + i, Math.random() * (tokenSeconds - 2), { local }),
      ])
    }),
  )
  clearInterval(tellTime)
  inUse.abort()
  await Promise.all(use)
  await server.stop()

  const names = { local: 'verified locally', kit: 'kit and status list', introspection: 'introspection' }
  for (const way of ['local', 'kit', 'introspection'] as const) {
    const sorted = delays[way].toSorted((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)] ?? NaN
    const figures = [median, sorted.at(-1) ?? NaN].map(seconds =>
      seconds.toFixed(seconds < 1 ? 3 : 1).padStart(8),
    )
    rows.push(
      `${`${tokenSeconds} s`.padEnd(11)} ${`${delaySeconds} s`.padEnd(11)} ${names[way].padEnd(22)} ${String(sorted.length).padStart(5)}  ${figures.join(' ')}`,
    )
  }
}
