import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import SqliteFile from 'better-sqlite3'
import { batcher, type Take } from '../../db/engines/batcher.ts'

/*
 * node bench/servers/writer.ts ORDER
 *
 * One process of bench/writers.ts: a worker, which does the work of refreshes without HTTP; or the writer,
 * which writes the rows of all workers; or the maker of the file.
 */
export interface WriterOrder {
  readonly role: 'worker' | 'writer' | 'maker'
  readonly number: number
  readonly file: string
  readonly socket: string
  readonly callers: number
  /** How long SQLite itself waits, in milliseconds. */
  readonly busyTimeout: number
  /** How long the process waits before it tries again, in milliseconds. */
  readonly retry: readonly [least: number, most: number] | 'turn'
  readonly isThroughOne: boolean
}

export interface WriterFigures {
  readonly rows: number
  readonly seconds: number
  readonly cpuMicroseconds: number
  readonly switches: number
  /** In which SQLite waited for the lock, and the event loop with it. */
  readonly blockedMs: number
  readonly longestBlockedMs: number
  readonly loopMaxMs: number
  readonly p99Ms: number
}

const order = JSON.parse(process.argv[2] ?? '') as WriterOrder
const sessions = 10_000

interface Row {
  readonly id: number
  readonly hash: Buffer
}

let blockedMs = 0
let longestBlockedMs = 0

function openFile() {
  const db = new SqliteFile(order.file, { timeout: 10_000 })
  for (const pragma of ['journal_mode = wal', 'synchronous = full', 'mmap_size = 1073741824'])
    db.pragma(pragma)
  return db
}

function writeHere(): (take: Take<Row>) => Promise<readonly number[]> {
  const db = openFile()
  db.pragma(`busy_timeout = ${order.busyTimeout}`)
  const [begin, commit] = [db.prepare('begin immediate'), db.prepare('commit')]
  const update = db.prepare('update sessions set hash = ?, generation = generation + 1 where id = ?')
  const attempt = (take: Take<Row>) => {
    const since = performance.now()
    try {
      begin.run()
    } finally {
      const ms = performance.now() - since
      blockedMs += ms
      longestBlockedMs = Math.max(longestBlockedMs, ms)
    }
    const changes = take().map(({ id, hash }) => update.run(hash, id).changes)
    commit.run()
    return changes
  }
  return async take => {
    for (;;) {
      try {
        return attempt(take)
      } catch (error) {
        if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
        if (order.retry === 'turn') await turn()
        else {
          const [least, most] = order.retry
          await sleep(least + Math.random() * (most - least))
        }
      }
    }
  }
}

/** Messages with their length before them. */
function talk(socket: Socket, hear: (message: unknown) => void): (message: unknown) => void {
  let left = Buffer.alloc(0)
  socket.on('data', chunk => {
    left = Buffer.concat([left, chunk])
    while (left.length >= 4 && left.length >= 4 + left.readUInt32LE(0)) {
      const end = 4 + left.readUInt32LE(0)
      hear(deserialize(left.subarray(4, end)))
      left = left.subarray(end)
    }
  })
  return message => {
    const bytes = serialize(message)
    const head = Buffer.alloc(4)
    head.writeUInt32LE(bytes.length)
    socket.write(Buffer.concat([head, bytes]))
  }
}

function writeThere(): (take: Take<Row>) => Promise<readonly number[]> {
  const asked: ((changes: readonly number[]) => void)[] = []
  const say = talk(connect(order.socket), message => asked.shift()?.(message as readonly number[]))
  return take =>
    new Promise(resolve => {
      asked.push(resolve)
      say(take())
    })
}

const sharing = (commit: (take: Take<Row>) => Promise<readonly number[]>) =>
  batcher<Row, number>({
    keyOf: ({ id }) => String(id),
    isSame: () => false,
    commit,
    mayBeOneEntry: () => false,
    limit: 128,
    patienceMs: 60_000,
    gatherMs: 2,
  })

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const text = randomBytes(500)
const latencies: number[] = []
let isOver = false

/** As one connection of a busy server; four signatures take about as long as all of a refresh but its row. */
async function callAgainAndAgain(write: (row: Row) => Promise<number>, caller: number): Promise<void> {
  while (!isOver) {
    const since = performance.now()
    for (let i = 0; i < 4; i++) sign('sha256', text, privateKey)
    const id = (caller + order.callers * Math.floor((Math.random() * sessions) / order.callers)) % sessions
    await write({ id, hash: randomBytes(32) })
    latencies.push(performance.now() - since)
    await turn()
  }
}

if (order.role === 'maker' || order.role === 'writer') {
  const db = openFile()
  db.exec(
    'create table sessions (id integer primary key, hash blob, generation integer not null default 0, more text)',
  )
  const insert = db.prepare('insert into sessions (id, hash, more) values (?, ?, ?)')
  db.transaction(() => {
    for (let id = 0; id < sessions; id++) insert.run(id, randomBytes(32), 'x'.repeat(120))
  })()
  db.close()
}
if (order.role === 'maker') process.send?.('ready')
else if (order.role === 'writer') {
  const write = writeHere()
  // What several workers send at once shares a commit.
  let waiting: { rows: readonly Row[]; answer: (changes: readonly number[]) => void }[] = []
  const flush = async () => {
    const all = waiting
    waiting = []
    const changes = await write(() => all.flatMap(({ rows }) => rows))
    let from = 0
    for (const { rows, answer } of all) answer(changes.slice(from, (from += rows.length)))
  }
  createServer(socket => {
    const say = talk(socket, rows => {
      waiting.push({ rows: rows as readonly Row[], answer: say })
      if (waiting.length === 1) setImmediate(() => void flush())
    })
  }).listen(order.socket, () => process.send?.('ready'))
} else process.send?.('ready')

const loop = monitorEventLoopDelay({ resolution: 1 })
let startedAt = 0
let cpu = process.cpuUsage()
let switches = 0
const switchesSoFar = () => {
  const { voluntaryContextSwitches, involuntaryContextSwitches } = process.resourceUsage()
  return voluntaryContextSwitches + involuntaryContextSwitches
}
process.on('message', message => {
  if (message === 'start') {
    if (order.role === 'worker') {
      const write = sharing(order.isThroughOne ? writeThere() : writeHere())
      for (let i = 0; i < order.callers; i++) void callAgainAndAgain(write, i)
    }
    loop.enable()
    startedAt = performance.now()
    cpu = process.cpuUsage()
    switches = switchesSoFar()
  } else {
    isOver = true
    const { user, system } = process.cpuUsage(cpu)
    latencies.sort((a, b) => a - b)
    process.send?.({
      rows: latencies.length,
      seconds: (performance.now() - startedAt) / 1000,
      cpuMicroseconds: user + system,
      switches: switchesSoFar() - switches,
      blockedMs,
      longestBlockedMs,
      loopMaxMs: loop.max / 1e6,
      p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    } satisfies WriterFigures)
  }
})
