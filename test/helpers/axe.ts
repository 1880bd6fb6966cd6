import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
const withAxe = new WeakSet<Page>()

/**
 * Finds what is wrong on a page, by all rules of axe: for each that is broken its name and the elements. Asks
 * for no more, since a description of all that passes takes several times as long as the look. So does it to
 * bring axe in: a page that has been looked at once has it ready in the documents that it shows next.
 */
export async function violationsOn(page: Page): Promise<[rule: string, elements: string[]][]> {
  if (!withAxe.has(page)) {
    withAxe.add(page)
    await page.addInitScript({ content: axe })
  }
  if (!(await page.evaluate('"axe" in globalThis'))) await page.evaluate(axe)
  return page.evaluate(`axe
    .run(document, { resultTypes: ['violations'] })
    .then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`)
}
