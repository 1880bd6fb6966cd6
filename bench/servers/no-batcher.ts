import { registerHooks } from 'node:module'

/*
 * node --import: commits each refresh by itself, as if there were no batcher. The server is the released one;
 * only the number of refreshes that share a commit is another.
 */
const several = /const rotationsMax = \d+;/

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/dist/db/sessions/rotations.js')) return loaded
    const source = String(loaded.source)
    if (!several.test(source)) throw new Error(`${url} does not say how many refreshes share a commit`)
    return { ...loaded, source: source.replace(several, 'const rotationsMax = 1;') }
  },
})
