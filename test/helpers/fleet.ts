import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { commandLine, issuer, type RunningServer } from './cli.ts'
import { isInFull } from './runs.ts'

/** Several `mintmark serve` on one database, as processes, and honest clients that refresh all the time. */
export interface Fleet {
  readonly home: string
  /** The environment that all of them share. */
  readonly env: Record<string, string>
  /** Starts another instance, with other settings if need be. */
  start(env?: Record<string, string>): Promise<Instance>
  /** Logs so many clients in. */
  logIn(count: number): Promise<HonestClient[]>
  /** Makes the client of the API, and returns the header with its secret. */
  apiClient(): Promise<{ readonly authorization: string }>
  /** Begins to refresh, each client at any of the instances, with short rests, or none in test:long. */
  load(clients: readonly HonestClient[]): Load
}

export interface Instance extends RunningServer {
  /** Each line of its log so far, parsed. */
  readonly log: readonly Record<string, unknown>[]
  /** Whether it says that it can do its work. */
  isReady(): Promise<boolean>
  kill(signal?: NodeJS.Signals): Promise<void>
}

/** Keeps the newest refresh token that it was given, and sends it again until it has an answer. */
export interface HonestClient {
  refreshToken: string
}

export interface Load {
  /** How many refreshes were answered with a token. */
  readonly refreshed: () => number
  /** Answers that told the client to come back, and requests that had no answer. */
  readonly delayed: () => number
  /** Resolves when every client has been refreshed `count` times from now on. */
  progress(count?: number): Promise<void>
  /** Ends the load, and returns what no client must ever be told. */
  stop(): Promise<string[]>
}

/** Clients without rests have the processors to themselves, and all else that a test waits for is slow. */
const restMilliseconds = isInFull ? 0 : 25

const password = 'correct horse battery staple'

/** Makes a root key, an API, a client and a user. `env` names the database. */
export async function startFleet(t: Test, env: Record<string, string>): Promise<Fleet> {
  const cli = commandLine(t)
  const instances: Instance[] = []
  const must = async (args: string, input = '') => {
    const { code, stderr } = await cli.call(args, { env, input })
    if (code !== 0) throw new Error(`mintmark ${args} failed: ${stderr}`)
  }
  if (env['MINTMARK_DATABASE_URL']?.startsWith('postgres')) await must('key new-root')
  await must('db migrate')
  await must('resource create https://api.example --scope read')
  await must(
    'client create --id app --public --grant password refresh_token --scope read --resource https://api.example',
  )
  await must('user create ada --password-stdin', password)

  const fleet: Fleet = {
    home: cli.home,
    env,
    start: async more => {
      const log: Record<string, unknown>[] = []
      const server = await cli.serve({ ...env, ...more })
      let rest = ''
      const take = (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) log.push(line.startsWith('{') ? JSON.parse(line) : { msg: line })
      }
      take(server.said())
      server.process.stderr?.on('data', chunk => take(String(chunk)))
      const instance: Instance = {
        ...server,
        log,
        isReady: async () => {
          const response = await fetch(`${server.url}/health/ready`).catch(() => undefined)
          return response?.status === 200
        },
        kill: async (signal = 'SIGKILL') => {
          instances.splice(instances.indexOf(instance), 1)
          const ended = once(server.process, 'close')
          server.process.kill(signal)
          await ended
        },
      }
      instances.push(instance)
      return instance
    },
    logIn: async count => {
      const clients: HonestClient[] = []
      for (let i = 0; i < count; i++) {
        const [instance] = instances
        const answer = await instance?.post('/token', {
          grant_type: 'password',
          client_id: 'app',
          username: 'ada',
          password,
        })
        if (answer?.status !== 200) throw new Error(`the log-in was answered ${answer?.status}`)
        clients.push({ refreshToken: answer.body.refresh_token })
      }
      return clients
    },
    apiClient: async () => {
      const made = await cli.call('client create --id api --resource-server https://api.example --json', {
        env,
      })
      const { client_id, client_secret } = made.json()
      return { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` }
    },
    load: clients => startLoad(clients, () => instances),
  }
  return fleet
}

function startLoad(clients: readonly HonestClient[], instances: () => readonly Instance[]): Load {
  const refreshes = clients.map(() => 0)
  const refusals: string[] = []
  let delayed = 0
  let isStopped = false

  const run = async (client: HonestClient, i: number) => {
    for (let turn = i; !isStopped || turn === i; turn++) {
      const all = instances()
      const answer = await refresh(all[turn % all.length]?.url ?? issuer, client.refreshToken)
      if (answer.kind === 'refused') {
        refusals.push(answer.text)
        return
      }
      if (answer.kind === 'token') {
        client.refreshToken = answer.token
        refreshes[i] = (refreshes[i] ?? 0) + 1
        await sleep(restMilliseconds)
      } else {
        delayed++
        await sleep(50)
      }
    }
  }
  const running = clients.map(run)
  return {
    refreshed: () => refreshes.reduce((sum, count) => sum + count, 0),
    delayed: () => delayed,
    progress: async (count = 3) => {
      const goals = refreshes.map(done => done + count)
      while (refusals.length === 0 && refreshes.some((done, i) => done < (goals[i] ?? 0))) await sleep(10)
    },
    stop: async () => {
      isStopped = true
      await Promise.all(running)
      return refusals
    },
  }
}

type Answer =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'later' }
  | { readonly kind: 'refused'; readonly text: string }

/** Sends one refresh. Only a 503 that says when to come back, or no answer at all, may be tried again. */
export async function refresh(url: string, refreshToken: string): Promise<Answer> {
  let response: Response
  let text: string
  try {
    response = await fetch(`${url}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'app',
        refresh_token: refreshToken,
      }),
      signal: AbortSignal.timeout(20_000),
    })
    text = await response.text()
  } catch {
    return { kind: 'later' } // no server answered, or the connection was cut
  }
  if (response.status === 200) return { kind: 'token', token: JSON.parse(text).refresh_token }
  if (response.status === 503 && response.headers.has('retry-after')) return { kind: 'later' }
  return { kind: 'refused', text: `${response.status} ${text}` }
}
