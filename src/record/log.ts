import { writeSync } from 'node:fs'
import type { FastifyBaseLogger } from 'fastify'
import { pino, type DestinationStream, type Logger } from 'pino'
import { tellSeconds, type Job } from '../upkeep/job.ts'

/** A logger that knows how many of its lines could not be written. */
export type Log = FastifyBaseLogger & { readonly flush?: () => void }

/** The log of a process, which counts what it cannot write. */
export type ProcessLog = Logger & { readonly linesLost: () => number }

/** A stream, or one that belongs to a file descriptor, as stderr does. */
export interface LogStream extends DestinationStream {
  readonly fd?: number
}

/**
 * Opens the log: one JSON document on each line. Where a line cannot be written, because the disk is full, or
 * its reader has gone away or is too slow, it is lost and counted, and nothing else comes of it.
 *
 * No line should hold a secret in the first place. Should one do so by mistake, what looks like a token or is
 * called a secret is cut out of its text. (The logger's own redaction is compiled anew for each request,
 * which costs ten times what the line does.)
 *
 * Each line has the number of the worker, where the server has several.
 */
export function openLog(level: string, stream: LogStream, worker?: number): ProcessLog {
  const destination = stream.fd === undefined ? undefined : openDestination(stream.fd)
  const options = {
    level,
    base: worker === undefined ? null : { worker },
    hooks: { streamWrite: withoutSecrets },
  }
  const log = pino(options, destination ?? stream)
  destination?.onRecovery(lost =>
    log.warn({ event: 'log_lines_lost', lost }, 'lines of the log could not be written, and are lost'),
  )
  return Object.assign(log, { linesLost: destination?.linesLost ?? (() => 0) })
}

/** Has written, again and again, what waits for a reader that is slow. */
export function logUpkeep(log: Pick<Log, 'flush'>): { readonly jobs: readonly Job[] } {
  return {
    jobs: [
      {
        name: 'writing the log',
        everySeconds: tellSeconds,
        run: async () => log.flush?.(),
      },
    ],
  }
}

interface Destination extends DestinationStream {
  /** Writes what waits, as far as the reader takes it. */
  flush(): void
  linesLost(): number
  /** Is called when lines can be written again, with how many were lost. */
  onRecovery(tell: (lost: number) => void): void
}

/** So much waits in memory for a reader that is slow. */
const waitingBytesMax = 1 << 20

/**
 * Writes by the descriptor itself: the stream over it would end the process with the first line that fails,
 * and keep it from ending for as long as its reader is stuck. (Node.js has set a pipe or socket to be
 * non-blocking by then.)
 */
export function openDestination(
  fd: number,
  write: (fd: number, bytes: Buffer) => number = writeSync,
): Destination {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let lost = 0
  let untold = 0
  /** Whether what has reached the reader ends within a line. */
  let isTorn = false
  let tell: (lost: number) => void = () => {}

  const lose = (lines: number) => {
    lost += lines
    untold += lines
  }
  const flush = () => {
    let [line] = waiting
    try {
      for (; line; [line] = waiting) {
        const written = write(fd, line)
        waitingBytes -= written
        isTorn = written < line.length
        if (isTorn) waiting[0] = line.subarray(written)
        else waiting.shift()
      }
    } catch (error) {
      if (Object(error).code === 'EAGAIN') return
      lose(waiting.length)
      waiting = []
      waitingBytes = 0
      return
    }
    if (untold === 0) return
    const [told, lostBefore] = [untold, lost]
    untold = 0
    tell(told)
    // The line that tells it may be lost like any other.
    if (lost > lostBefore) untold += told
  }
  return {
    write: text => {
      const line = Buffer.from(isTorn && waiting.length === 0 ? `\n${text}` : text)
      if (waitingBytes + line.length > waitingBytesMax) {
        lose(1)
      } else {
        waiting.push(line)
        waitingBytes += line.length
      }
      flush()
    },
    flush,
    linesLost: () => lost,
    onRecovery: then => {
      tell = then
    },
  }
}

const secretNames =
  'authorization|password|client_secret|client_assertion|access_token|refresh_token|device_token|token'

/** A token, code, cookie, link or request of ours, a JWT, or the text of a member with such a name. */
const secrets = new RegExp(
  `mm_[a-z]{2,4}_[\\w-]+|eyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*|("(?:${secretNames})":)"(?:[^"\\\\]|\\\\.)*"`,
  'g',
)

function withoutSecrets(line: string): string {
  return line.replace(secrets, (_secret, name: string | undefined) => (name ? `${name}"[cut]"` : '[cut]'))
}
