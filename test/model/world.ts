import { cpSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import type { KyselyPlugin } from 'kysely'
import { pino, type Logger } from 'pino'
import { insertClient } from '../../db/clients/clients.ts'
import { insertUser } from '../../db/users/users.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { systemClock, type Clock } from '../../src/clock.ts'
import { runCommandLine } from '../../src/commands/shell/command-line.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Context } from '../../src/context.ts'
import { makeRootKeyFile } from '../../src/keys/root/root-key-file.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { openServer, type OpenServer } from '../../src/server.ts'
import type { EngineEnv } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import '../helpers/rsa-keys.ts'
import { runJob } from '../helpers/run-job.ts'
import { leastCost } from '../helpers/server.ts'

export const startedAt = 1_900_000_000
export const password = 'correct horse battery staple'
const secret = 'a'.repeat(43)
export const kinds = ['rotate', 'strict', 'reuse'] as const

/** What a story happens in: a real server, whose clock the story moves, and which can be killed. */
export interface World {
  now: number
  readonly ctx: Context
  /** Whether the server that runs now takes what comes late for an outage. */
  readonly isOutage: boolean
  /** Each line that was logged since the beginning, whichever server wrote it. */
  readonly log: readonly Record<string, unknown>[]
  /** A password is verified when it opens; the world says when one waits for that. */
  readonly gate: Gate
  post(path: string, form: Record<string, string>): Promise<{ status: number; body: Record<string, unknown> }>
  /** Has the server look what has become of the clients. */
  follow(): Promise<void>
  /** The next server finds the disk as it is at this moment. */
  kill(): Promise<void>
  backup(): Promise<void>
  /** Stops the server, restores the last backup, and starts it; `mayBeSwept` accepts what no log tells of. */
  restore(flag: 'replay' | 'accept', mayBeSwept: boolean): Promise<void>
  close(): Promise<void>
}

export interface Gate {
  /** Resolves when somebody waits at the gate. */
  shut(): Promise<void>
  open(): void
}

/** Makes an installation with a client of each kind and a user, of which each story gets a copy. */
export async function makeTemplate(home: string, env: EngineEnv): Promise<void> {
  mkdirSync(home, { recursive: true })
  if (env['MINTMARK_DATABASE_URL'] !== undefined) makeRootKeyFile(join(home, 'keys/root.key'))
  const { ctx, close } = await boot(home, env, handClock(startedAt), openLog([]), openGate())
  for (const kind of kinds) {
    await insertClient(
      ctx.db,
      plainClientRow({
        id: kind,
        // Only a client that can prove who it is may keep a token.
        secret_hash: kind === 'reuse' ? hashSecret(secret) : null,
        grant_types: 'password refresh_token',
        scope: '',
        refresh_policy: kind,
        // Long ago, so that no clock is set back to before it.
        created_at: 0,
      }),
    )
  }
  await insertUser(ctx.db, {
    id: newUuid(startedAt),
    username: 'ada',
    ...(await ctx.users.passwords.hash(password)),
    roles: '',
    epoch: 0,
    created_at: startedAt,
    disabled_at: null,
  })
  await close()
}

export async function openWorld(template: string, directory: string, env: EngineEnv): Promise<World> {
  const isEmbedded = env['MINTMARK_DATABASE_URL'] === undefined
  let generation = 0
  let home = join(directory, '0')
  cpSync(template, home, { recursive: true })
  const lines: Record<string, unknown>[] = []
  const gate = openGate()
  const clock = { ...systemClock(), now: () => world.now }
  const start = () => boot(home, env, clock, openLog(lines), gate)
  const stop = async () => {
    await server.close()
  }
  const fileOf = (name: string) => join(directory, name)
  const command = async (args: string) => {
    let code = 0
    const stderr = collect()
    await runCommandLine(
      {
        env: { ...env, MINTMARK_HOME: home, MINTMARK_ISSUER: 'https://as.example' },
        workingDirectory: home,
        clock,
        stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
        stdout: collect().stream,
        stderr: stderr.stream,
        onSignal: () => () => {},
        fail: exitCode => {
          code = exitCode
        },
      },
      args.split(' '),
    )
    if (code !== 0) throw new Error(`mintmark ${args}: ${stderr.text()}`)
    for (const line of stderr.text().split('\n')) if (line.startsWith('{')) lines.push(JSON.parse(line))
  }
  let lastBackup = ''
  let server: Server

  const world: World = {
    now: startedAt,
    get ctx() {
      return server.ctx
    },
    get isOutage() {
      return server.ctx.sessions.lateness.isOutage()
    },
    log: lines,
    gate,
    post: async (path, form) => {
      const response = await server.app.inject({
        method: 'POST',
        url: path,
        payload: new URLSearchParams({
          ...form,
          ...(form['client_id'] === 'reuse' && { client_secret: secret }),
        }).toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      })
      return { status: response.statusCode, body: response.json() }
    },
    follow: async () => void (await runJob(server, 'following the registry')),
    kill: async () => {
      const killed = server
      killed.log.isDead = true
      if (isEmbedded) {
        const next = join(directory, String(++generation))
        copyAsCrashed(home, next)
        home = next
      }
      server = await start()
      // The other one is over; its answers reach no client.
      await killed.close()
    },
    backup: async () => {
      lastBackup = fileOf(`backup-${++generation}.sqlite`)
      await command(`db backup ${lastBackup}`)
    },
    restore: async (flag, mayBeSwept) => {
      await stop()
      const log = fileOf('log')
      writeFileSync(log, lines.map(line => `${JSON.stringify(line)}\n`).join(''))
      const replay = flag === 'replay' ? ` --revocations ${log} --yes` : ''
      const accept = flag === 'accept' || mayBeSwept ? ' --accept-unrevoked' : ''
      await command(`db restore ${lastBackup}${replay}${accept}`)
      server = await start()
    },
    close: stop,
  }
  server = await start()
  return world
}

/** The files as SIGKILL would leave them: the server has no part of the database but in them. */
function copyAsCrashed(from: string, to: string): void {
  cpSync(join(from, 'keys'), join(to, 'keys'), { recursive: true })
  mkdirSync(join(to, 'db'))
  for (const name of ['mintmark.sqlite', 'mintmark.sqlite-wal']) {
    if (existsSync(join(from, 'db', name))) copyFileSync(join(from, 'db', name), join(to, 'db', name))
  }
}

async function boot(home: string, env: EngineEnv, clock: Clock, log: Log, gate: OpenGate): Promise<Server> {
  const { logger } = log
  const config = loadConfig(
    { MINTMARK_ISSUER: 'https://as.example', MINTMARK_METRICS_PORT: '0', ...env },
    home,
  )
  const server = await openServer(config, {
    clock,
    log: logger,
    jobs: 'by hand',
    passwordCost: leastCost,
    adapt: ctx => ({
      ...ctx,
      db: {
        ...ctx.db,
        sql: ctx.db.sql.withPlugin(oneTurnPerQuery),
        read: async query => {
          const rows = await ctx.db.read(query)
          await turn()
          return rows
        },
      },
      users: {
        ...ctx.users,
        passwords: {
          ...ctx.users.passwords,
          verify: async (user, text, source) => {
            await gate.pass()
            return ctx.users.passwords.verify(user, text, source)
          },
        },
      },
    }),
  })
  logger.info('serving')
  return { ...server, log }
}

/** SQLite answers at once; as over a network, others get their turn between two queries of one request. */
const oneTurnPerQuery: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  transformResult: async ({ result }) => {
    await turn()
    return result
  },
}

interface Server extends OpenServer {
  readonly log: Log
}

interface Log {
  readonly logger: Logger
  /** A dead server says nothing any more. */
  isDead: boolean
}

function openLog(lines: Record<string, unknown>[]): Log {
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      if (!log.isDead) lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const log: Log = { logger: pino({ level: 'info', base: null }, stream), isDead: false }
  return log
}

interface OpenGate extends Gate {
  pass(): Promise<void>
}

function openGate(): OpenGate {
  let closed: { reached: () => void; opened: Promise<void>; open: () => void } | undefined
  return {
    shut: () => {
      const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      closed = { reached: reached.resolve, opened: opened.promise, open: opened.resolve }
      return reached.promise
    },
    open: () => {
      closed?.open()
      closed = undefined
    },
    pass: async () => {
      closed?.reached()
      await closed?.opened
    },
  }
}

function collect() {
  const chunks: string[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      chunks.push(String(chunk))
      done()
    },
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => chunks.join('') }
}
