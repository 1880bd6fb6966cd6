import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Beside what npm has installed, and gone with it. */
const queues = join(import.meta.dirname, '../../node_modules/.cache/mintmark-queues')

/** Where the processes that tap has started note what each has taken. */
const folderOf = (runner: number) => join(queues, String(runner))

/** Makes room for what the run of this process notes, and removes that of runs that are over. */
export function openQueue(runner: number): void {
  mkdirSync(queues, { recursive: true })
  for (const name of readdirSync(queues))
    if (Number(name) === runner || !isAlive(Number(name))) rmSync(join(queues, name), { recursive: true })
  mkdirSync(folderOf(runner))
}

/**
 * Whether this process is the first of its run that wants the file. One that nothing runs beside, as by hand,
 * gets each.
 */
export function take(file: string): boolean {
  const folder = folderOf(process.ppid)
  if (!existsSync(folder)) return true
  try {
    writeFileSync(join(folder, file.replaceAll(/\W/g, '-')), '', { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
