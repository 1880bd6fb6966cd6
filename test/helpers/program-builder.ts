import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { build } from 'vite'
import { alone } from './alone.ts'
import { programs } from './built-program.ts'

/*
 * Puts the program together in the folder that it is told, unless another process was first, and
 * removes what was made of other sources, once no test runs it any more.
 */
const root = join(import.meta.dirname, '../..')
const [folder = ''] = process.argv.slice(2)

await alone(`mintmark-program-${folder}`, async () => {
  if (existsSync(folder)) return
  mkdirSync(programs, { recursive: true })
  for (const name of readdirSync(programs).map(name => join(programs, name)))
    if (Date.now() - lstatSync(name).mtimeMs > 3_600_000) rmSync(name, { recursive: true })
  const draft = `${folder}-draft`
  mkdirSync(draft, { recursive: true })
  await build({ configFile: join(root, 'vite.config.ts'), build: { outDir: draft } })
  copyFileSync(join(root, 'package.json'), join(draft, 'package.json'))
  symlinkSync(join(root, 'dist/console'), join(draft, 'console'))
  renameSync(draft, folder)
})
