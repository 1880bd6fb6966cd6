import { styleText } from 'node:util'
import type { Progress } from '../../admin/progress.ts'
import { formatCount } from '../../values/formats.ts'
import type { Run } from './command.ts'

/** Below that, the work is done before anybody could read about it. */
const worthShowing = 1000

const barWidth = 30
const redrawSeconds = 0.1
/** How often there is a new line where no line can be redrawn. */
const lineSeconds = 5

/** `noun` is what is counted, in the singular; without a `total` there is no bar, but a count. */
export function openProgress(
  { stderr, clock }: Pick<Run, 'stderr' | 'clock'>,
  noun: string,
  total?: number,
): Progress {
  const startedAt = clock.steady()
  const interval = stderr.isTTY ? redrawSeconds : lineSeconds
  let shownAt = stderr.isTTY ? -Infinity : startedAt
  let isOpen = false
  const show = (text: string) => {
    stderr.write(stderr.isTTY ? `\r\x1b[2K${text}` : `${text}\n`)
    isOpen = stderr.isTTY
  }
  return {
    at: done => {
      const at = clock.steady()
      if ((total ?? done) < worthShowing || at - shownAt < interval) return
      shownAt = at
      if (total === undefined) show(formatCount(done, noun))
      else show(drawn(done, Math.max(total, done), noun, at - startedAt, stderr))
    },
    end: () => {
      if (isOpen) stderr.write('\r\x1b[2K')
      isOpen = false
    },
  }
}

/** `████████░░░░░░░░  52%  52,200 of 100,000 sessions  0:07 left`. */
function drawn(
  done: number,
  total: number,
  noun: string,
  seconds: number,
  stream: NodeJS.WriteStream,
): string {
  const part = done / total
  const full = Math.round(part * barWidth)
  const bar = styleText('cyan', '█'.repeat(full), { stream }) + '░'.repeat(barWidth - full)
  const left = Math.ceil((seconds / Math.max(part, 0.001)) * (1 - part))
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')} left`
  const percent = `${Math.floor(part * 100)}%`.padStart(4)
  return `${bar} ${percent}  ${done.toLocaleString('en-US')} of ${formatCount(total, noun)}  ${time}`
}
