import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { buildConsole } from './helpers/built-console.ts'
import { startChromium } from './helpers/chromium.ts'
import { consoleWorld, isSettled, openConsole } from './helpers/console.ts'

/*
 * Draws the pictures of the console that the README shows, from a server with a day behind it:
 * `npm run picture:console`. What they show is made up, and the same each time but for the hour.
 */

/** A wave over the day, with the least of it at three in the morning. */
const wave = (at: number, height: number) =>
  Math.round(height * (1.2 - Math.cos(((at / 3600 - 3) / 12) * Math.PI)))

/** A number below `most` that looks like chance, and is the same each time. */
const jitter = (step: number, most: number) => ((Math.imul(step + 1, 2_654_435_761) >>> 0) / 2 ** 32) * most

t.test('two pictures', async t => {
  await buildConsole()
  const browser = await startChromium(t)
  const world = await consoleWorld(t, { MINTMARK_NAME: 'Example' })
  const { db } = world.server.ctx

  const minutes = 10
  const now = Math.floor(Date.now() / 1000)
  for (let step = 0; step < (24 * 60) / minutes; step++) {
    const at = Math.floor((now - step * minutes * 60) / (minutes * 60)) * minutes * 60
    const counted = {
      log_ins: wave(at, 31) + Math.floor(jitter(step, 14)),
      refreshes: wave(at, 5200) + Math.floor(jitter(step * 3, 900)),
      late: Math.floor(jitter(step * 7, 1.4) ** 4),
      'refused log_in invalid_grant': Math.floor(wave(at, 2) + jitter(step * 5, 5)),
      ...(step === 40 && { thefts: 1 }),
    }
    const row = { seconds: minutes * 60, at, id: randomBytes(8), counted: JSON.stringify(counted) }
    await db.sql.insertInto('counts').values(row).execute()
    const sessions = {
      seconds: 0,
      at,
      id: randomBytes(8),
      counted: JSON.stringify({ sessions: 47_000 + wave(at - 7200, 900) }),
    }
    await db.sql.insertInto('counts').values(sessions).execute()
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await openConsole(t, browser, world, {
      path: '?period=day',
      colorScheme,
      viewport: { width: 1280, height: 860 },
    })
    await page.locator('.plot .u-over').nth(4).waitFor()
    await isSettled(page)
    await page.mouse.move(0, 0)
    await page.screenshot({ path: join(import.meta.dirname, `../docs/console-${colorScheme}.png`) })
  }
})
