import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { openDatabase } from '../db/open-database.ts'
import { formatUuid } from '../src/protocol/secrets.ts'
import { startChromium } from '../test/helpers/chromium.ts'
import { freePort } from '../test/helpers/free-port.ts'
import { administrator } from './administrator.ts'
import { password, startMintmark, username, type Mintmark } from './mintmark.ts'

/*
 * npm run bench:console [-- --users N] [--sessions N] [--minutes N]
 *
 * What an admin waits for in a browser where there are many users and sessions: the first paint with nothing
 * in its cache, an answer to what is typed into the search, and pages of each list, the last one too; and how
 * much memory an open console takes, minute by minute.
 */
const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '1000000' },
    sessions: { type: 'string', default: '1000000' },
    minutes: { type: 'string', default: '0' },
  },
})
const usersMade = Number(values.users)

const endings: (() => unknown)[] = []
try {
  const port = String(await freePort())
  const server = await startMintmark({
    sessions: Number(values.sessions),
    cpu: undefined,
    // People are sent to the issuer to log in.
    env: { MINTMARK_PORT: port, MINTMARK_ISSUER: `http://127.0.0.1:${port}` },
  })
  endings.unshift(server.stop)
  say(`${values.sessions} sessions are there`)
  writeFileSync(join(dirname(server.databaseFile), 'users.jsonl'), usersFile())
  await command(server, ['user', 'import', join(dirname(server.databaseFile), 'users.jsonl')])
  await command(server, ['user', 'update', username, '--role', 'mintmark:admin'])
  say(`${values.users} users are there`)
  const browser = await startChromium({ teardown: work => void endings.unshift(work as () => unknown) })
  const context = await logIn(browser, server)
  await measurePaint(browser, context, server)
  await measureSearch(context, server)
  await measurePages(server)
  if (values.minutes !== '0') await measureMemory(context, server, Number(values.minutes))
} finally {
  for (const end of endings) await end()
}

function usersFile(): string {
  const lines = Array.from({ length: usersMade }, (_, i) => {
    const name = nameOf(i)
    return JSON.stringify({ username: name, email: `${name}@example.com`, email_verified: true })
  })
  return `${lines.join('\n')}\n`
}

/** Names that begin in many ways, each made up of syllables. */
function nameOf(i: number): string {
  const syllables = ['an', 'be', 'co', 'da', 'el', 'fi', 'go', 'hu', 'ir', 'jo', 'ka', 'li', 'mo', 'ne', 'os']
  const chosen = [1, 15, 225, 3375].map(power => syllables[Math.floor(i / power) % syllables.length])
  return `${chosen.join('')}-${i}`
}

async function command({ settings }: Mintmark, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['dist/main.js', ...args], {
    env: { PATH: process.env['PATH'], ...settings },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${args.join(' ')} has failed: ${String(code)}`)
}

async function logIn(browser: Browser, { url }: Mintmark): Promise<BrowserContext> {
  const context = await browser.newContext({ locale: 'en-US' })
  const page = await context.newPage()
  await page.goto(`${url}/console`)
  await page.getByLabel('User name').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.keyboard.press('Enter')
  await page.locator('main h1').waitFor({ timeout: 60_000 })
  await page.close()
  return context
}

/** Until the overview says how things are: by somebody who is logged in, with nothing in the cache. */
async function measurePaint(browser: Browser, context: BrowserContext, { url }: Mintmark): Promise<void> {
  const took: number[] = []
  for (let i = 0; i < 11; i++) {
    const cold = await browser.newContext({ locale: 'en-US', storageState: await context.storageState() })
    const page = await cold.newPage()
    const startedAt = performance.now()
    await page.goto(`${url}/console`, { waitUntil: 'commit' })
    await page.locator('.verdict').waitFor({ timeout: 60_000 })
    took.push(performance.now() - startedAt)
    await cold.close()
  }
  tell('from an empty cache to the overview', took)
}

/** Names typed key by key, each after a rest: from the request for what is there by then to the list. */
async function measureSearch(context: BrowserContext, { url }: Mintmark): Promise<void> {
  const page = await context.newPage()
  await page.goto(`${url}/console/users`)
  const field = page.getByLabel('Find a user')
  await field.waitFor()
  const took: number[] = []
  page.on('requestfinished', request => {
    const { pathname, searchParams } = new URL(request.url())
    if (!pathname.endsWith('/admin/v1/users') || !searchParams.has('search')) return
    took.push(request.timing().responseEnd)
  })
  for (let i = 0; i < 30; i++) {
    const name = nameOf((i * 7919 * 13) % usersMade)
    await field.fill('')
    for (const key of name) {
      await page.keyboard.press(key)
      await sleep(200)
    }
    await page.getByRole('link', { name, exact: true }).waitFor()
  }
  tell('an answer to what is typed', took)
  await page.close()
}

/** The first page, one behind a thousand others, and the last, of the lists that grow. */
async function measurePages(server: Mintmark): Promise<void> {
  const headers = await administrator(server)
  const db = openDatabase({ engine: 'sqlite', file: server.databaseFile }, { isPatient: true })
  /** Behind which the last page begins. */
  const lastKeys = {
    users: async () => {
      const names = db.sql.selectFrom('users').select('username').orderBy('username', 'desc')
      return (await names.offset(50).limit(1).executeTakeFirstOrThrow()).username
    },
    sessions: async () => {
      const ids = db.sql.selectFrom('sessions').select('id').orderBy('id', 'desc')
      return formatUuid((await ids.offset(50).limit(1).executeTakeFirstOrThrow()).id)
    },
  }
  for (const list of ['users', 'sessions'] as const) {
    const first = `${server.url}/admin/v1/${list}?limit=50`
    const read = async (path: string) => {
      const startedAt = performance.now()
      const response = await fetch(path, { headers })
      const answer = (await response.json()) as { items: readonly unknown[]; next: string | null }
      if (!response.ok) throw new Error(JSON.stringify(answer))
      return { ...answer, took: performance.now() - startedAt }
    }
    await read(first)
    let path = first
    const took: number[] = []
    for (let i = 0; i < 1000; i++) {
      const { next, took: ms } = await read(path)
      took.push(ms)
      if (next === null) break
      path = `${first}&after=${next}`
    }
    tell(`pages 1 to 1,000 of ${list}`, took)
    const { next } = await read(first)
    if (next === null) continue
    const [name] = JSON.parse(Buffer.from(next, 'base64url').toString()) as [string]
    const cursor = Buffer.from(JSON.stringify([name, await lastKeys[list]()])).toString('base64url')
    const last: number[] = []
    for (let i = 0; i < 20; i++) {
      const { items, next, took: ms } = await read(`${first}&after=${cursor}`)
      if (items.length !== 50 || next !== null) throw new Error('this is not the last page')
      last.push(ms)
    }
    tell(`the last page of ${list}`, last)
  }
  await db.close()
}

/** Of the overview and of the live audit trail, after a collection, while something happens. */
async function measureMemory(context: BrowserContext, { url }: Mintmark, minutes: number): Promise<void> {
  const pages = await Promise.all(
    ['', '/audit'].map(async path => {
      const page = await context.newPage()
      await page.goto(`${url}/console${path}`)
      await page.locator('main h1').waitFor()
      return { path, page }
    }),
  )
  for (let minute = 0; minute <= minutes; minute++) {
    const heaps = await Promise.all(pages.map(async ({ page }) => heapOf(page)))
    say(`after ${minute} minutes: overview ${heaps[0]} kB, audit trail ${heaps[1]} kB`)
    for (let second = 0; second < 60 && minute < minutes; second++) {
      // Each leaves an entry in the audit trail.
      await fetch(`${url}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'password',
          client_id: 'nobody',
          username: 'x',
          password: 'x',
        }),
      }).then(response => response.text())
      await sleep(1000)
    }
  }
}

async function heapOf(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page)
  await session.send('HeapProfiler.collectGarbage')
  const { usedSize } = await session.send('Runtime.getHeapUsage')
  await session.detach()
  return Math.round(usedSize / 1000)
}

function tell(what: string, took: readonly number[]): void {
  const sorted = [...took].sort((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(0)
  say(
    `${what.padEnd(40)} median ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms (${took.length} times)`,
  )
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
