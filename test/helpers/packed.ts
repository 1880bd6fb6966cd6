import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import t, { type Test } from 'tap'

const root = join(import.meta.dirname, '../..')
const modules = join(root, 'node_modules')

export const compiler = join(modules, 'typescript/bin/tsc')

/** The files that npm makes of the two packages, as they are published. */
export interface Packed {
  readonly server: string
  readonly kit: string
}

/** Runs a program with this Node.js first in the path, and without what tap gives its child processes. */
export function run(directory: string, command: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync('env', ['-u', 'NODE_OPTIONS', command, ...args], {
    cwd: directory,
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` },
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

/** What the packages are made of: in a copy of it, npm builds and packs while others use the checkout. */
const sources = [
  ...['package.json', 'tsconfig.json', 'vite.config.ts', 'src', 'db', 'kit', 'docs', 'deploy'],
  ...['README.md', 'SECURITY.md', 'CHANGELOG.md', 'LICENSE'],
]

/** Packs both packages from a fresh copy of the checkout, by their own scripts. */
export function pack(): Packed {
  const directory = temporary(t, 'pack')
  const copy = join(directory, 'checkout')
  mkdirSync(copy)
  const isSource = (file: string) => !/\/kit\/(dist|LICENSE)$|\.sqlite/.test(file)
  for (const name of sources)
    cpSync(join(root, name), join(copy, name), { recursive: true, filter: isSource })
  symlinkSync(modules, join(copy, 'node_modules'))
  // As they lie about where somebody has followed deploy/.
  cpSync(join(copy, 'LICENSE'), join(copy, 'deploy/secrets/root-key'))
  cpSync(join(copy, 'LICENSE'), join(copy, 'deploy/.env'))
  const { status, output } = run(copy, 'npm', [
    ...['pack', '--workspaces', '--include-workspace-root', '--pack-destination', directory],
  ])
  if (status !== 0) throw new Error(output)
  const { version } = manifest(root)
  return {
    server: join(directory, `mintmark-${version}.tgz`),
    kit: join(directory, `mintmark-resource-server-${version}.tgz`),
  }
}

/**
 * An empty project in which npm has installed a package from its file, without a registry. What it depends
 * on, and what else is named, was put beside it from this checkout: npm fails should anything be missing, and
 * takes away what is too much.
 */
export function install(t: Test, tarball: string, ...beside: string[]): string {
  const directory = temporary(t, 'project')
  const name = tarball.includes('resource-server') ? join(root, 'kit') : root
  const needed = Object.keys(manifest(name).dependencies ?? {})
  const own = join(directory, 'node_modules')
  const closure = closureOf([...needed, ...beside])
  for (const [name, from] of closure) cpSync(from, join(own, name), { recursive: true })
  // npm would fetch a package anew that lacks the links to its commands.
  mkdirSync(join(own, '.bin'), { recursive: true })
  for (const bin of readdirSync(join(modules, '.bin'))) {
    const target = readlinkSync(join(modules, '.bin', bin))
    if (existsSync(join(own, '.bin', target))) symlinkSync(target, join(own, '.bin', bin))
  }
  const dependencies = Object.fromEntries(beside.map(name => [name, '*']))
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, dependencies }))
  const cache = join(directory, 'cache')
  const { status, output } = run(directory, 'npm', [
    ...['install', '--offline', '--cache', cache, '--ignore-scripts', '--no-audit', '--no-fund', tarball],
  ])
  if (status !== 0) throw new Error(output)
  rmSync(cache, { recursive: true })
  return directory
}

interface Manifest {
  readonly version: string
  readonly dependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

function manifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
}

/**
 * The packages that these depend on, and they themselves, each with its folder, but for what lies within
 * another's.
 */
function closureOf(names: readonly string[]): ReadonlyMap<string, string> {
  const closure = new Map<string, string>()
  const seen = new Set<string>()
  const visit = (name: string, from: string): void => {
    const directory = nearest(name, from)
    if (directory === undefined || seen.has(directory)) return
    seen.add(directory)
    if (relative(modules, directory) === name) closure.set(name, directory)
    const { dependencies, optionalDependencies } = manifest(directory)
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) visit(next, directory)
  }
  for (const name of names) visit(name, root)
  return closure
}

/** Where Node.js finds a package; undefined for an optional one that is not for this machine. */
function nearest(name: string, from: string): string | undefined {
  const directory = join(from, 'node_modules', name)
  if (existsSync(directory)) return directory
  return from === root ? undefined : nearest(name, dirname(from))
}

/** Outside of the checkout, whose modules would be found otherwise. */
function temporary(t: Test, name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `mintmark-${name}-`))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
