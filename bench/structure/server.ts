import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/helpers/free-port.ts'
import { allLines, commonLines, executedLines, type Lines, type RecordedRequest } from './recorded.ts'
import { kindsOf, retrySeconds, type DevServer, type Kind } from './requests.ts'

/** The lines that each request of a kind executes. */
export interface Execution {
  readonly name: string
  readonly lines: Lines
  /** Those, and the ones of the same functions that were passed over. */
  readonly wholeLines: Lines
  /** Those until the first statement about sessions; undefined when there was none. */
  readonly linesToRow: Lines | undefined
  /** The file of db/ that ran this statement. */
  readonly rowFile: string | undefined
}

const warmUps = 4

/**
 * A line counts when each of so many requests has executed it: what ran beside one of them does not count.
 */
const requests = 8

/** Runs the server of a checkout, with its own kinds of requests, and says what each kind executes. */
export async function measureExecutions(
  checkout: string,
  onKind: (name: string) => void,
): Promise<readonly Execution[]> {
  const home = mkdtempSync(join(tmpdir(), 'mintmark-structure-'))
  const socketPath = join(home, 'coverage.sock')
  const port = String(await freePort())
  const child = spawn(
    process.execPath,
    ['--import', join(import.meta.dirname, 'preload.ts'), join(checkout, 'src/main.ts'), 'dev'],
    {
      cwd: home,
      env: {
        PATH: process.env['PATH'],
        STRUCTURE_OF: checkout,
        STRUCTURE_SOCKET: socketPath,
        MINTMARK_HOME: home,
        MINTMARK_PORT: port,
        MINTMARK_METRICS_PORT: '0',
        MINTMARK_REFRESH_RETRY_WINDOW: `${retrySeconds}s`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const exited = once(child, 'exit')
  try {
    const server = await waitForStart(child.stdout, child.stderr)
    const ask = await openRecorder(socketPath)
    const executions: Execution[] = []
    for (const kind of kindsOf(server)) {
      onKind(kind.name)
      const recorded = await recordEach(kind, ask)
      executions.push(executionOf(kind.name, recorded, path => readFileSync(join(checkout, path), 'utf8')))
    }
    return executions
  } finally {
    // Its unfinished writes go with its folder.
    child.kill('SIGKILL')
    await exited
    rmSync(home, { recursive: true, force: true })
  }
}

async function recordEach(
  { ready, isLate = false }: Kind,
  ask: (question: string) => Promise<string>,
): Promise<readonly RecordedRequest[]> {
  const aged: (() => Promise<void>)[] = []
  if (isLate) {
    for (let i = 0; i < warmUps + requests; i++) aged.push(await ready())
    await sleep(retrySeconds * 1000 + 1100)
  }
  const recorded: RecordedRequest[] = []
  for (let i = 0; i < warmUps + requests; i++) {
    const send = aged[i] ?? (await ready())
    await ask('begin')
    await send()
    // Some is done after the answer, such as its line in the log.
    await sleep(10)
    const answer = await ask('end')
    if (i >= warmUps) recorded.push(JSON.parse(answer) as RecordedRequest)
  }
  return recorded
}

/** Waits for the request that `mintmark dev` proposes, from which all others can be made. */
async function waitForStart(
  stdout: NodeJS.ReadableStream,
  stderr: NodeJS.ReadableStream,
): Promise<DevServer> {
  let said = ''
  stderr.on('data', chunk => (said = (said + String(chunk)).slice(-4000)))
  const proposed = /curl -sS (\S+)\/token -u (\S+?):(\S+) .*username=(\S+) -d password=(\S+)\n/
  return new Promise((resolve, reject) => {
    let printed = ''
    stdout.on('data', chunk => {
      printed += String(chunk)
      const [, url = '', clientId = '', clientSecret = '', username = '', password = ''] =
        proposed.exec(printed) ?? []
      if (url) resolve({ url, clientId, clientSecret, username, password })
    })
    stdout.on('end', () => reject(new Error(`the server ended:\n${said}`)))
  })
}

async function openRecorder(socketPath: string): Promise<(question: string) => Promise<string>> {
  const socket = connect(socketPath)
  await once(socket, 'connect')
  const answers = createInterface(socket)
  socket.unref()
  return async question => {
    const answer = once(answers, 'line') as Promise<[string]>
    socket.write(`${question}\n`)
    return (await answer)[0]
  }
}

function executionOf(
  name: string,
  recorded: readonly RecordedRequest[],
  read: (path: string) => string,
): Execution {
  const toRow = recorded.map(({ beforeRow }) => beforeRow && executedLines(beforeRow.scripts, read))
  const inAll = (options: { isWhole: boolean }) =>
    recorded
      .map(({ beforeRow, afterRow }) =>
        allLines(
          executedLines(beforeRow?.scripts ?? [], read, options),
          executedLines(afterRow, read, options),
        ),
      )
      .reduce(commonLines)
  const known = toRow.filter(lines => lines !== undefined)
  return {
    name,
    lines: inAll({ isWhole: false }),
    wholeLines: inAll({ isWhole: true }),
    linesToRow: known.length === 0 ? undefined : known.reduce(commonLines),
    rowFile: recorded.find(({ beforeRow }) => beforeRow)?.beforeRow?.file,
  }
}
