import { createRequire, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)

/**
 * The types of a client, generated from an OpenAPI document. The generator needs an older TypeScript than
 * ours, which has an API: another of our tools has one of its own.
 */
export async function generateTypes(document: object): Promise<string> {
  const older = createRequire(require.resolve('@arethetypeswrong/core')).resolve('typescript')
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'typescript' ? next(pathToFileURL(older).href, context) : next(specifier, context),
  })
  try {
    const { default: generate, astToString } = await import('openapi-typescript')
    // A copy: what it is given it changes.
    return astToString(await generate(structuredClone(document) as never))
  } finally {
    hooks.deregister()
  }
}
