import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { readText } from '../../values/text-input.ts'
import type { Run } from './command.ts'
import { CommandError, UsageError } from './failures.ts'
import { readStdin } from './input.ts'

/** Asks whether to go on; anything but yes ends the command, and nothing has been changed. */
export async function confirm(
  run: Run,
  question: string,
  { yes }: { yes: boolean | undefined },
): Promise<void> {
  if (yes) return
  if (!run.stdin.isTTY) throw new UsageError(`${question} Nobody is here to ask: add --yes`)
  const answer = await ask(run, `${question} [y/N] `)
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('stopped, nothing was changed')
}

/** A new password: from stdin, or asked for twice and not shown. One line break at its end does not count. */
export async function readNewPassword(
  run: Run,
  { passwordStdin }: { passwordStdin: boolean | undefined },
): Promise<string> {
  if (passwordStdin && !run.stdin.isTTY) {
    const read = readText(await readStdin(run))
    // Such bytes would be stored as other characters, with which no log-in succeeds.
    if ('problem' in read) throw new CommandError(`the password is ${read.problem}`)
    return read.text.replace(/\r?\n$/, '')
  }
  if (!run.stdin.isTTY) {
    throw new UsageError('there is no terminal to ask for the password: add --password-stdin and pipe it in')
  }
  const password = await ask(run, 'Password: ', { isSecret: true })
  if (password !== (await ask(run, 'Once more: ', { isSecret: true }))) {
    throw new CommandError('the two passwords differ, nothing was changed')
  }
  return password
}

/** One line from the terminal. The question goes to stderr, since stdout is for the answer. */
async function ask({ stdin, stderr }: Run, question: string, { isSecret = false } = {}): Promise<string> {
  // Readline echoes each key that is typed, so a secret's echo goes nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const readline = createInterface({ input: stdin, output: isSecret ? nowhere : stderr, terminal: true })
  const interrupted = new AbortController()
  readline.on('SIGINT', () => interrupted.abort())
  readline.on('close', () => interrupted.abort())
  if (isSecret) stderr.write(question)
  try {
    return await readline.question(isSecret ? '' : question, { signal: interrupted.signal })
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
    throw new CommandError('stopped, nothing was changed')
  } finally {
    readline.close()
    if (isSecret) stderr.write('\n')
  }
}
