import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { basic, clientId, clientSecret, startMintmark, username } from '../../bench/mintmark.ts'
import { changeClient } from '../../db/clients/clients.ts'
import { openDatabase } from '../../db/open-database.ts'
import { fuzz } from './fuzz.ts'
import { secretCanary } from './loot.ts'

/*
 * npm run fuzz [-- --seconds N] [--runs N] [--seed N]
 *
 * A server of its own process, and requests that no client should send, for a minute. Says what was answered,
 * and whether the server's memory has grown. The seed that it prints makes the same requests again.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    runs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
  },
})
const seed = Number(values.seed)

const server = await startMintmark({
  sessions: 2,
  cpu: 0,
  env: { MINTMARK_LOG_LEVEL: 'debug' },
  // With more, garbage is left lying for so long that it looks like a leak.
  nodeArgs: ['--max-old-space-size=64'],
})
try {
  await makeAdmin()
  const [first = '', kept = ''] = server.refreshTokens
  const grant = async (form: Record<string, string>) => {
    const body = new URLSearchParams(form)
    const response = await fetch(`${server.url}/token`, {
      method: 'POST',
      headers: { authorization: basic },
      body,
    })
    if (response.status !== 200) throw new Error(`an honest client was answered with ${response.status}`)
    return (await response.json()) as { access_token: string; refresh_token: string }
  }
  const refresh = (refresh_token: string) => grant({ grant_type: 'refresh_token', refresh_token })
  const { access_token: adminToken } = await grant({ grant_type: 'client_credentials' })
  const { access_token: accessToken, refresh_token: refreshToken } = await refresh(first)
  const jwks = await (await fetch(`${server.url}/.well-known/jwks.json`)).text()
  const memory = memoryWatch()
  process.stderr.write(`seed ${seed}\n`)
  const statuses = await fuzz({
    url: server.url,
    loot: { clientId, clientSecret, username, accessToken, refreshToken, adminToken, jwks },
    seed,
    runs: Number(values.runs),
    milliseconds: Number(values.seconds) * 1000,
    onRun: memory.look,
  })
  await refresh(kept)
  const leak = server.said.find(line =>
    [secretCanary, clientSecret, refreshToken].some(secret => line.includes(secret)),
  )
  if (leak !== undefined) throw new Error(`with --seed ${seed}: a secret is in the log:\n${leak}`)
  const answers = [...statuses]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status || 'none'}: ${count}`)
  process.stdout.write(`${answers.join(', ')}\n${memory.summary()}\n`)
  if (memory.hasGrown()) throw new Error(`with --seed ${seed}: the memory of the server grows`)
} finally {
  await server.stop()
}

/** Lets the client end other people's sessions too. The server knows within a second. */
async function makeAdmin(): Promise<void> {
  const db = openDatabase({ engine: 'sqlite', file: server.databaseFile })
  await changeClient(db, clientId, { is_admin: 1 })
  await db.close()
  await sleep(1500)
}

/** Looks at the server's memory every thousand requests. What grows once, when caches fill, is no leak. */
function memoryWatch() {
  const every = 1000
  const mebibytes: number[] = []
  let startedAt = performance.now()
  const tenth = (from: number) => {
    const size = Math.max(1, Math.floor(mebibytes.length / 10))
    const some = mebibytes.slice(from, from + size).toSorted((a, b) => a - b)
    return some[Math.floor(some.length / 2)] ?? NaN
  }
  /** After a third of the run, and at its end. */
  const ends = () =>
    [tenth(Math.floor(mebibytes.length / 3)), tenth(Math.floor(mebibytes.length * 0.9))] as const
  return {
    look: (done: number) => {
      if (done % every !== 0) return
      mebibytes.push((server.residentBytes() ?? NaN) / 2 ** 20)
      const perSecond = (1000 * every) / (performance.now() - startedAt)
      startedAt = performance.now()
      if (done % (10 * every) === 0 && done > 0) {
        process.stderr.write(
          `${done} requests, ${perSecond.toFixed(0)} a second, ${mebibytes.at(-1)?.toFixed(0)} MiB\n`,
        )
      }
    },
    summary: () =>
      `memory: ${ends()
        .map(size => size.toFixed(0))
        .join(' MiB, at the end ')} MiB`,
    hasGrown: () => {
      const [early, late] = ends()
      return mebibytes.length > 10 && late > early * 1.5 + 20
    },
  }
}
