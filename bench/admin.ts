import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openAsBlob, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { administrator } from './administrator.ts'
import { connections, each, getting, wandering } from './callers.ts'
import { load } from './load.ts'
import { startMintmark, type Mintmark } from './mintmark.ts'
import { pinSelf } from './processes.ts'

/*
 * npm run bench:admin [-- --sizes N,N] [--imported N] [--seconds N]
 *
 * Whether a page of users or of sessions costs more where there are more of them, and further on; how fast a
 * file of users is imported by the command, and in how much memory; and how much slower refreshes are while
 * a file is imported by HTTP, and while an administrator lists without a pause.
 */
const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,1000000' },
    imported: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '5' },
  },
})
const sizes = values.sizes.split(',').map(Number)
const imported = Number(values.imported)
const seconds = Number(values.seconds)

/** Pages that are walked before one far on is measured. */
const farPages = 1000

const hash = '$pbkdf2-sha256$600000$BmAsJSQkxDinFILQGuP8Xw$AMGUIzHQtSPrUaMFKL0FMFzdzaN9vXnCWm4n8hdt1mE'

pinSelf(1)
const firstCosts = new Map<string, number>()
for (const size of sizes) {
  const server = await startMintmark({ sessions: size, cpu: 0 })
  try {
    const headers = await administrator(server)
    const { rate, mebibytes } = await importByCommand(server, usersFile(server, 'first', size))
    say(`${count(size)} users by the command: ${count(rate)} a second, ${mebibytes.toFixed(0)} MiB`)
    for (const list of ['users', 'sessions']) {
      await measurePage(server, headers, { list, size, pages: 0 })
      if (size > 50 * farPages) await measurePage(server, headers, { list, size, pages: farPages })
    }
    await measureBeside(server, headers)
  } finally {
    await server.stop()
  }
}

interface Page {
  readonly list: string
  readonly size: number
  readonly pages: number
}

async function measurePage(server: Mintmark, headers: Headers, { list, size, pages }: Page): Promise<void> {
  const path = await pathOfPage(server, headers, list, pages)
  // The admin API is loaded, and warm.
  await load(server.url, [getting(path, headers)], 1)
  const before = server.cpuMicroseconds() ?? NaN
  const { requests } = await load(server.url, [getting(path, headers)], seconds)
  const cost = ((server.cpuMicroseconds() ?? NaN) - before) / requests
  const least = firstCosts.get(list) ?? cost
  firstCosts.set(list, least)
  const title = `page ${pages + 1} of ${count(size)} ${list}`
  say(`${title.padEnd(40)} ${cost.toFixed(0).padStart(6)} CPU µs (${(cost / least).toFixed(2)})`)
}

type Headers = Awaited<ReturnType<typeof administrator>>

async function pathOfPage({ url }: Mintmark, headers: Headers, list: string, pages: number): Promise<string> {
  const first = `/admin/v1/${list}?limit=50`
  let path = first
  for (let i = 0; i < pages; i++) {
    const response = await fetch(`${url}${path}`, { headers })
    const { next } = (await response.json()) as { next: string | null }
    if (next === null) throw new Error(`${list} end after ${i} pages`)
    path = `${first}&after=${next}`
  }
  return path
}

/** A file beside the database with so many users, each with a hash. */
function usersFile({ databaseFile }: Mintmark, name: string, length: number): string {
  const path = join(dirname(databaseFile), `${name}.jsonl`)
  const users = Array.from({ length }, (_, i) => {
    const username = `${name}-${i}`
    const email = `${username}@example.com`
    return JSON.stringify({ username, email, email_verified: true, password_hash: hash, roles: ['reader'] })
  })
  writeFileSync(path, `${users.join('\n')}\n`)
  return path
}

async function importByCommand({ settings }: Mintmark, path: string) {
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['dist/main.js', 'user', 'import', path], {
    env: { PATH: process.env['PATH'], ...settings },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  let kibibytes = 0
  const watch = setInterval(() => {
    const [, peak] = /VmHWM:\s+(\d+)/.exec(statusOf(child.pid)) ?? []
    kibibytes = Math.max(kibibytes, Number(peak ?? 0))
  }, 100)
  const [code] = await once(child, 'exit')
  clearInterval(watch)
  if (code !== 0) throw new Error(`the import has failed: ${String(code)}`)
  const lines = readFileSync(path, 'utf8').split('\n').length - 1
  return { rate: (lines / (performance.now() - startedAt)) * 1000, mebibytes: kibibytes / 1024 }
}

function statusOf(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return '' // it has ended, or this is no Linux
  }
}

async function measureBeside(server: Mintmark, headers: Headers): Promise<void> {
  const refreshRate = async () => {
    const callers = each(i => wandering(server.refreshTokens, i, connections))
    const { requests, seconds: took } = await load(server.url, callers, seconds)
    return requests / took
  }
  const calm = await refreshRate()
  const listing = load(server.url, [getting('/admin/v1/users?limit=200', headers)], seconds)
  const besideList = await refreshRate()
  const { requests: lists } = await listing
  const file = usersFile(server, 'second', imported)
  const response = await fetch(`${server.url}/admin/v1/users/imports`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/jsonl' },
    body: await openAsBlob(file),
  })
  const { id } = (await response.json()) as { id: string }
  const doneOf = async () => {
    const answer = await fetch(`${server.url}/admin/v1/jobs/${id}`, { headers })
    return (await answer.json()) as { readonly done: number; readonly state: string }
  }
  while ((await doneOf()).done === 0) await new Promise(resolve => setTimeout(resolve, 50))
  const before = await doneOf()
  const besideImport = await refreshRate()
  const after = await doneOf()
  if (after.state !== 'running') throw new Error('the import was over too early: --imported takes more')
  const again = await refreshRate()
  const ratio = (rate: number) => (rate / Math.max(calm, again)).toFixed(2)
  say(`${count(calm)} refreshes a second, and ${count(again)} at the end`)
  say(
    `while an administrator lists without a pause (${count(lists / seconds)} lists/s): ${ratio(besideList)}`,
  )
  say(
    `while a file is imported (${count((after.done - before.done) / seconds)} users/s): ${ratio(besideImport)}`,
  )
}

function count(number: number): string {
  return Math.round(number).toLocaleString('en-US')
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
