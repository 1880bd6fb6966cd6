import type { Context } from '../../src/context.ts'
import type { Recorder } from '../../src/record/record.ts'

/** Records what is done as a command of an administrator would. */
export function byCommand({ db, clock, log }: Pick<Context, 'db' | 'clock' | 'log'>): Recorder {
  return { db, clock, log, actor: { kind: 'command', user: 'root' } }
}
