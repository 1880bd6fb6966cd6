import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from '../config/load.ts'

/*
 * `mintmark dev` shows mails where no SMTP server is named. What commands beside it write into the outbox is
 * shown too, so they have to know of it: a file says which process it is, as long as it runs. The id alone
 * may be another process's since, where the first was killed.
 */

const fileOf = ({ home }: Pick<Config, 'home'>) => join(home, 'db/dev.pid')

/** Says that this process shows mails, until what is returned is called. */
export function noteShownMails(config: Pick<Config, 'home'>): () => void {
  const file = fileOf(config)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${process.pid} ${startOf(process.pid)}\n`)
  return () => rmSync(file, { force: true })
}

/** Whether a running process shows the mails of this installation. */
export function mailsAreShown(config: Pick<Config, 'home'>): boolean {
  try {
    const [, id = '', start = ''] = /^(\d+) (\d*)\n$/.exec(readFileSync(fileOf(config), 'utf8')) ?? []
    const pid = Number(id)
    // Signal 0 is none: it asks whether there is such a process.
    return pid > 0 && startOf(pid) === start && process.kill(pid, 0)
  } catch (error) {
    // It runs, and is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * When a process has begun, in ticks since the machine has (proc_pid_stat(5), field 22), which no other one
 * of its id has; empty where the system does not tell.
 */
function startOf(pid: number): string {
  try {
    // The second field, in parentheses, is any text.
    const [, fields = ''] = /\) ([^)]*)$/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return fields.split(' ')[19] ?? ''
  } catch {
    return ''
  }
}
