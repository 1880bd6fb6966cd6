import { userInfo } from 'node:os'
import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { openAdmin, type OpenAdmin } from '../../admin/admin.ts'
import { databaseClock, type Clock } from '../../clock.ts'
import { loadConfig, type Config } from '../../config/load.ts'
import type { OpenOptions } from '../../installation/open.ts'
import type { Actor } from '../../record/actor.ts'
import { openLog, type Log } from '../../record/log.ts'
import type { OnSignal } from '../../signals.ts'
import { describeError, isClosedPipe, UsageError } from './failures.ts'
import { printAnswer, type Answer } from './output.ts'

/*
 * How a command is written.
 *
 * A command translates: words and options into the arguments of an act, and the act's outcome into text. The
 * acts and their documents stand in `src/admin/`; nothing here reads or writes the database.
 *
 * One folder for each noun (`client/`), and one line for it in `command-line.ts`. Its file exports
 * `clientCommands(program, terminal)`, which adds the noun to the program, and to the noun a verb for each
 * thing to do:
 *
 *   const client = program.command('client').description('apps that ask for tokens')
 *   verb(client, 'enable', 'let a disabled client ask for tokens again', ['mintmark client enable web'])
 *     .argument('<client_id>')
 *     .action(
 *       command(terminal, async ({ open }, id) => {
 *         const client = await enableClient(await open(), id)
 *         return { text: `Enabled the client ${id}.`, json: describeClient(client) }
 *       }),
 *     )
 *
 * - `open()` opens the installation as it is, and gives the `Admin` that acts are passed. It creates nothing,
 *   says which absolute path is missing, and refuses another issuer, a newer schema and a wrong root key. The
 *   installation is closed after the answer has been printed. `config()` alone opens nothing.
 * - The function returns its answer: `text` for people, and `json`, the one document on stdout with --json.
 *   Both say what was done. A list is `rows`, printed as they come. A command that prints by itself (serve)
 *   returns nothing.
 * - Whatever else there is to say goes to stderr: `note` for what one should know and for progress, `confirm`
 *   (in prompt.ts) to ask, `log` for what the log of a server would tell.
 * - A word typed wrongly is a `UsageError` (exit 2). An act that cannot be done throws its `Refusal`, or a
 *   `CommandError` where only a command can find out (exit 1). Their text is a sentence without its capital
 *   and full stop, and says what to do. Any other error is a fault of ours.
 * - Nothing secret is ever printed, but a new client secret, once. Names in JSON are those of the RFCs; times
 *   there are seconds since the epoch.
 */

/** The process that a command runs in. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv
  readonly workingDirectory: string
  /** This machine's, and in a `Run` the database's once it is open. */
  readonly clock: Clock
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Takes the next signal, which otherwise ends the process. */
  readonly onSignal: OnSignal
  /** Sets the exit code of the process: 1 when it could not be done, 2 when it was typed wrongly. */
  readonly fail: (exitCode: 1 | 2) => void
}

/** What one run of a command works with. */
export interface Run extends Terminal {
  /** Reads the settings; throws `ConfigError`. */
  readonly config: () => Config
  /** Opens the installation, which must exist, unless it may be made. */
  readonly open: (options?: Omit<OpenOptions, 'isPatient'>) => Promise<OpenAdmin>
  /** Who runs the command, as the audit trail names it. */
  readonly actor: Actor
  /** JSON lines on stderr, like the server's. */
  readonly log: Log
  /** Says on stderr what is not the answer. */
  readonly note: (text: string) => void
}

/**
 * Adds a verb to a noun. Descriptions begin in lower case and have no full stop; each has an example to copy.
 */
export function verb(
  noun: CommandUnknownOpts,
  name: string,
  description: string,
  examples: readonly string[],
) {
  return noun
    .command(name)
    .description(description)
    .option('--json', 'print one JSON document')
    .addHelpText('after', ['', 'Examples:', ...examples.map(example => `  ${example}`)].join('\n'))
}

/**
 * Makes the action of a verb: runs the work, prints its answer, closes what it opened, and reports what went
 * wrong.
 */
export function command<Arguments extends unknown[]>(
  terminal: Terminal,
  work: (run: Run, ...args: Arguments) => Promise<Answer | void>,
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    // Commander's last argument is the command itself.
    const self = args.at(-1) as CommandUnknownOpts
    const opened: OpenAdmin[] = []
    try {
      const run = runOf(terminal, opened)
      const answer = await work(run, ...args)
      if (answer) await printAnswer(terminal.stdout, answer, self.getOptionValue('json') === true)
    } catch (error) {
      if (isClosedPipe(error)) return
      terminal.stderr.write(
        `${pathOf(self)}: ${describeError(error, terminal.env['MINTMARK_LOG_LEVEL'] === 'debug')}\n`,
      )
      terminal.fail(error instanceof UsageError ? 2 : 1)
    } finally {
      for (const { db } of opened) await db.close()
    }
  }
}

function runOf(terminal: Terminal, opened: OpenAdmin[]): Run {
  const note = (text: string) => void terminal.stderr.write(`${text}\n`)
  const config = () => loadConfig(terminal.env, terminal.workingDirectory)
  // By the clock of the database, once it is open, as the servers do: their times are compared with ours.
  const clock = databaseClock(terminal.clock)
  const log = openLog('info', terminal.stderr)
  const actor: Actor = { kind: 'command', user: userName() }
  return {
    ...terminal,
    clock,
    actor,
    config,
    open: async (options = { mayCreate: false }) => {
      const admin = await openAdmin({ config: config(), clock, log, actor }, options)
      opened.push(admin)
      return admin
    },
    log,
    note,
  }
}

/** The user who runs the command, by the name that the system has. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.()}` // in a container, the user may have no name
  }
}

/** `mintmark client create`. */
export function pathOf(self: CommandUnknownOpts): string {
  return self.parent ? `${pathOf(self.parent)} ${self.name()}` : self.name()
}
