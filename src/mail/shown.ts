import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from '../config/load.ts'

/*
 * `mintmark dev` shows mails where no SMTP server is named. What commands beside it write into the outbox is
 * shown too, so they have to know of it: a file has its process id, as long as it runs.
 */

const fileOf = ({ home }: Pick<Config, 'home'>) => join(home, 'db/dev.pid')

/** Says that this process shows mails, until what is returned is called. */
export function noteShownMails(config: Pick<Config, 'home'>): () => void {
  const file = fileOf(config)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${process.pid}\n`)
  return () => rmSync(file, { force: true })
}

/** Whether a running process shows the mails of this installation. */
export function mailsAreShown(config: Pick<Config, 'home'>): boolean {
  try {
    const pid = Number(readFileSync(fileOf(config), 'utf8'))
    // Signal 0 is none: it asks whether there is such a process.
    return Number.isInteger(pid) && pid > 0 && process.kill(pid, 0)
  } catch (error) {
    // It runs, and is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
