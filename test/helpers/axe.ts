import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

export type Violations = readonly [rule: string, elements: string[]][]

/**
 * Finds what is wrong on a page, by all rules of axe: for each that is broken its name and the elements. Asks
 * for no more, since a description of all that passes takes several times as long as the look.
 */
export async function violationsOn(page: Page): Promise<Violations> {
  if (!(await page.evaluate('"axe" in globalThis'))) await page.evaluate(axe)
  return page.evaluate(`axe
    .run(document, { resultTypes: ['violations'] })
    .then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`)
}

/** What a window shows. */
export interface Sight {
  readonly html: string
  readonly width: number
  readonly height: number
  readonly colorScheme: 'light' | 'dark'
}

/** The same of a page that brings its style along, as it is now. */
export async function violationsOnCopy(page: Page): Promise<Violations> {
  const browser = page.context().browser()
  if (!browser) throw new Error('unreachable: its context was made by a browser')
  const sight = await page.evaluate<Sight>(`({
    html: document.documentElement.outerHTML,
    width: innerWidth,
    height: innerHeight,
    colorScheme: matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light',
  })`)
  return violationsIn(browser, sight)
}

const windows = new WeakMap<Browser, Promise<Page>>()

/**
 * Looks at a copy in a window that has axe already: to bring that into each document takes longer than a
 * look. Those who have one browser look one after the other.
 */
export async function violationsIn(
  browser: Browser,
  { html, width, height, colorScheme }: Sight,
): Promise<Violations> {
  const opened = windows.get(browser) ?? openWindow(browser)
  windows.set(browser, opened)
  const window = await opened
  await window.setViewportSize({ width, height })
  await window.emulateMedia({ colorScheme })
  // What is parsed so runs no script of the page once more.
  await window.evaluate(`{
    const { documentElement } = new DOMParser().parseFromString(${JSON.stringify(html)}, 'text/html')
    document.replaceChild(document.adoptNode(documentElement), document.documentElement)
  }`)
  return violationsOn(window)
}

async function openWindow(browser: Browser): Promise<Page> {
  const window = await browser.newPage()
  // Else it would be drawn as pages of the nineties were.
  await window.setContent('<!doctype html>')
  return window
}
