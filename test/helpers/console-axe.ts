import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { violationsOn } from './axe.ts'
import { goTo, isSettled, openConsole, title, type ConsoleWorld } from './console.ts'
import { isTurn } from './runs.ts'

/** Asserts that axe finds nothing on a page 320 pixels wide, and that all of it is on the screen. */
export async function axeFindsNothing(t: Test, page: Page, name: string): Promise<void> {
  t.strictSame(await violationsOn(page), [], name)
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, `${name} fits`)
}

/**
 * The same of views, by their paths and titles, light and dark by turns; `more` looks at whatever else there
 * is.
 */
export async function axeFindsNothingIn(
  t: Test,
  browser: Browser,
  world: ConsoleWorld,
  views: readonly (readonly [path: string, title: string])[],
  more: (page: Page, colorScheme: string) => Promise<void> = async () => {},
): Promise<void> {
  const page = await openConsole(t, browser, world, { viewport: { width: 320, height: 800 } })
  for (const [way, colorScheme] of (['light', 'dark'] as const).entries()) {
    await page.emulateMedia({ colorScheme })
    for (const [place, [path, name]] of views.entries()) {
      if (!isTurn(place, way, 2)) continue
      await goTo(page, world.home + path)
      await title(page, name)
      await isSettled(page)
      await page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
      await axeFindsNothing(t, page, `${path} ${colorScheme}`)
    }
    await more(page, colorScheme)
  }
}
