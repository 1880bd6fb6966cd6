import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Express } from 'express'

export const algs = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']
export const audienceOf = (alg: string) => `https://${alg.toLowerCase()}.example`

const docs = join(import.meta.dirname, '../../docs')
const overview = readFileSync(join(docs, 'verifying.md'), 'utf8')
const page = readFileSync(join(docs, 'verifying/javascript.md'), 'utf8')

/** What docs/verifying/javascript.md tells its readers to write, for each library. */
export const snippets = [...page.matchAll(/^## (.+)\n\n```js\n([^]+?)```/gm)].map(
  ([, name = '', code = '']) => ({ name, code }),
)

/**
 * The rows of docs/verifying.md that are theirs: the library's name, and `yes` or `no` for each algorithm.
 */
export const matrix = [...overview.matchAll(/^\|[^|]*\| (.+ \| (?:yes|no)) \|$/gm)]
  .map(([, row = '']) => row.split(' | '))
  .filter(([library]) => snippets.some(({ name }) => name === library))

/** A library that was started as a resource server starts it, for tokens of one algorithm. */
export interface LibraryVerifier {
  readonly title: string
  readonly alg: string
  /** Rejects if the library refuses the token. */
  verify(token: string): Promise<unknown>
  close(): void
}

/** What two libraries need where there is no https; all else of theirs stays as it is. */
const withoutHttps: Record<string, string> = {
  oauth4webapi: 'const options = { [oauth.allowInsecureRequests]: true }',
  'aws-jwt-verify': `import { SimpleJwksCache } from 'aws-jwt-verify/jwk'
const fetcher = { fetch: async uri => (await fetch(uri)).arrayBuffer() }
const options = { jwksCache: new SimpleJwksCache({ fetcher }) }`,
}

let loaded = 0

/**
 * Runs a snippet, with empty caches, from a file in `directory`. Rejects if the library does not know the
 * algorithm.
 */
export async function loadVerifier(
  { name, code }: (typeof snippets)[number],
  { alg, origin, directory }: { alg: string; origin: string; directory: string },
): Promise<LibraryVerifier> {
  const file = join(directory, `${loaded++}.mjs`)
  writeFileSync(
    file,
    code
      .replace('const options = {}', withoutHttps[name] ?? '$&')
      .replaceAll('https://as.example', origin)
      .replaceAll('https://api.example', audienceOf(alg))
      .replaceAll("'ES256'", `'${alg}'`),
  )
  const { verify, app } = await import(file)
  const title = `${name} ${alg}`
  if (verify) return { title, alg, verify: async token => verify(token), close: () => {} }
  return { title, alg, ...(await serve(app)) }
}

/** Asks an API over its port, as its callers do. */
async function serve(app: Express): Promise<Pick<LibraryVerifier, 'verify' | 'close'>> {
  app.set('env', 'test') // Express writes what it refuses to stderr otherwise
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    verify: async token => {
      const response = await fetch(`http://127.0.0.1:${port}/`, {
        headers: { authorization: `Bearer ${token}` },
      })
      await response.arrayBuffer()
      if (!response.ok) throw new Error(`${response.status} ${response.headers.get('www-authenticate')}`)
    },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
