import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { readText } from '../../values/text-input.ts'
import type { Run } from './command.ts'
import { CommandError, UsageError } from './failures.ts'

/** A text that a command was given to read, and what to call it. */
export interface Input {
  /** The absolute path, or `stdin`. */
  readonly name: string
  readonly text: string
}

/** Reads a file, or with `-` stdin. It must be UTF-8, and have something in it. */
export async function readInput(run: Run, path: string): Promise<Input> {
  const name = path === '-' ? 'stdin' : resolve(run.workingDirectory, path)
  const read = readText(path === '-' ? await readStdin(run) : readFile(name))
  if ('problem' in read) throw new CommandError(`${name} is ${read.problem}`)
  if (read.text.trim() === '') throw new CommandError(`${name} is empty`)
  return { name, text: read.text }
}

/** Everything that is piped in. */
export async function readStdin({ stdin }: Run): Promise<Buffer> {
  if (stdin.isTTY) throw new UsageError('nothing is piped in: `mintmark … - < FILE` reads a file from there')
  return buffer(stdin)
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    // Of a directory, the system says so only when it is read, and then not of which.
    throw Object.assign(error as Error, { path })
  }
}
