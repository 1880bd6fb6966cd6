import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'vite'
import { alone } from './alone.ts'

const root = join(import.meta.dirname, '../..')
const folder = join(root, 'dist/console')

/** What it is made of: what the app imports of the server's code lies in `values`. */
const sources = ['src/console/app', 'src/values', 'package-lock.json']

/**
 * Builds the console into the folder from which a checkout serves it, unless it was built from its sources as
 * they are: files of tests that run beside each other do so once. Returns the folder.
 */
export async function buildConsole(): Promise<string> {
  const stamp = join(folder, 'sources.txt')
  const digest = digestOf(sources.flatMap(filesIn))
  await alone(`mintmark-console-${sha256(root)}`, async () => {
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
    await build({ configFile: join(root, 'src/console/app/vite.config.ts') })
    writeFileSync(stamp, digest)
  })
  return folder
}

function filesIn(path: string): readonly string[] {
  if (path.endsWith('.json')) return [path]
  return (
    readdirSync(join(root, path), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(root.length + 1))
      // Types alone, which are gone when it is built: the check of types may write them at any time.
      .filter(file => !file.includes('/generated/'))
      .sort()
  )
}

function digestOf(files: readonly string[]): string {
  return sha256(files.map(file => `${file}\n${readFileSync(join(root, file), 'utf8')}`).join('\n'))
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url')
