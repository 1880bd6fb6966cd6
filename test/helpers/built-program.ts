import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/*
 * Processes of tests run the program as it is built, since to load the many files of its sources takes longer
 * than most of what it is started for. Not in dist/, where others may be building it.
 */

const root = join(import.meta.dirname, '../..')

/** Beside what npm has installed, and gone with it. */
export const programs = join(root, 'node_modules/.cache/mintmark-program')

/** What it is made of. */
const sources = ['src', 'db', 'package-lock.json', 'vite.config.ts']

let file: string | undefined

/** The file that Node.js runs as `mintmark`, made anew when a source was changed since the last time. */
export function builtProgram(): string {
  return (file ??= findOrBuild())
}

function findOrBuild(): string {
  const folder = join(programs, digestOf(sources.flatMap(filesIn)))
  const main = join(folder, 'main.js')
  if (existsSync(main)) return main
  const builder = join(import.meta.dirname, 'program-builder.ts')
  const { status, stderr } = spawnSync(process.execPath, [builder, folder], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return main
}

function filesIn(path: string): readonly string[] {
  if (/\.\w+$/.test(path)) return [join(root, path)]
  return readdirSync(join(root, path), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
}

/** By when they were changed: to read them all would take each process of a test longer than it saves. */
function digestOf(files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const path of files) {
    const { mtimeMs, size } = lstatSync(path)
    hash.update(`${path} ${mtimeMs} ${size}\n`)
  }
  return hash.digest('hex').slice(0, 16)
}
