import { readdirSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

/*
 * node --import: commits each refresh by itself, as if there were no batcher. The server is the released one;
 * only the number of refreshes that share a commit is another.
 */
const several = /\brotationsMax = \d+;/
const part = readdirSync('dist').find(
  name => name.endsWith('.js') && several.test(readFileSync(`dist/${name}`, 'utf8')),
)
if (part === undefined) throw new Error('no part of dist/ says how many refreshes share a commit')

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    if (!url.endsWith(`/dist/${part}`)) return loaded
    return { ...loaded, source: String(loaded.source).replace(several, 'rotationsMax = 1;') }
  },
})
