import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { Command, CommanderError, type CommandUnknownOpts } from '@commander-js/extra-typings'
import { applyCommand } from '../apply.ts'
import { auditCommands } from '../audit.ts'
import { claimCommands } from '../claim.ts'
import { streamCommands } from '../stream.ts'
import { clientCommands } from '../client/client.ts'
import { dbCommands } from '../db/db.ts'
import { devCommand } from '../dev.ts'
import { doctorCommand } from '../doctor.ts'
import { explainCommand } from '../explain.ts'
import { issuerCommands } from '../issuer.ts'
import { groupCommands } from '../group.ts'
import { keyCommands } from '../key/key.ts'
import { adminCommands } from '../admin.ts'
import { mailCommands } from '../mail.ts'
import { resourceCommands } from '../resource.ts'
import { serveCommand } from '../serve.ts'
import { sessionCommands } from '../session/session.ts'
import { signInCommands } from '../sign-in.ts'
import { tokenCommands } from '../token.ts'
import { userCommands } from '../user.ts'
import { pathOf, type Terminal } from './command.ts'
import { describeError, isClosedPipe } from './failures.ts'

/**
 * Runs one command line: `argv` is all that follows the program's name. Failures are told on stderr and by
 * `fail`.
 */
export async function runCommandLine(terminal: Terminal, argv: readonly string[]): Promise<void> {
  // The command that was writing learns of it too, and ends.
  terminal.stdout.on('error', error => {
    if (isClosedPipe(error)) return
    terminal.stderr.write(
      `mintmark: stdout cannot be written, what the command did is done: ${describeError(error)}\n`,
    )
    terminal.fail(1)
  })
  // There is no reader left to tell, and that does not end the work under way.
  terminal.stderr.on('error', () => {})
  const program = commandsOf(terminal)
  eachCommand(program, self => speakThrough(terminal, self))
  const cut = argv.find(argument => /\r/.test(argument))
  if (cut !== undefined) {
    terminal.stderr.write(`mintmark: ${JSON.stringify(cut)} holds ${crForm}\n`)
    return terminal.fail(2)
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for has the exit code 0; help shown because a verb is missing has not.
    if (error.exitCode !== 0) terminal.fail(2)
  }
}

/** Else the last word of each line of such a script would be another name, of a file or of a client. */
const crForm =
  'a carriage return: the script that runs this has the line breaks of Windows, so save it with those of Unix'

/** All commands there are. */
export function commandsOf(terminal: Terminal): Command {
  const program = new Command('mintmark')
    .description('Mintmark, an OAuth 2 authorization server and OpenID provider')
    .version(version(), '-V, --version', 'print the version')
    .addHelpText(
      'after',
      '\nSettings are environment variables, MINTMARK_HOME and MINTMARK_ISSUER first: the README lists them.',
    )
    .exitOverride()
  serveCommand(program, terminal)
  devCommand(program, terminal)
  applyCommand(program, terminal)
  resourceCommands(program, terminal)
  clientCommands(program, terminal)
  issuerCommands(program, terminal)
  claimCommands(program, terminal)
  streamCommands(program, terminal)
  userCommands(program, terminal)
  groupCommands(program, terminal)
  sessionCommands(program, terminal)
  signInCommands(program, terminal)
  tokenCommands(program, terminal)
  adminCommands(program, terminal)
  mailCommands(program, terminal)
  auditCommands(program, terminal)
  keyCommands(program, terminal)
  dbCommands(program, terminal)
  explainCommand(program, terminal)
  doctorCommand(program, terminal)
  return program
}

/**
 * Help goes to stdout; `error: unknown option '--jsn'` to stderr as `mintmark key list: unknown option
 * '--jsn'`.
 */
function speakThrough({ stdout, stderr }: Terminal, self: CommandUnknownOpts): void {
  self.configureOutput({
    writeOut: text => void stdout.write(text),
    writeErr: text => void stderr.write(text),
    outputError: text => {
      const sentence = text
        .replace(/^error: /, '')
        .trimEnd()
        .replaceAll('\n', ' ')
      stderr.write(`${pathOf(self)}: ${sentence}\n\`${pathOf(self)} --help\` shows how it is used\n`)
    },
  })
}

/** The version of the package that this file is in, in the source and in the distribution. */
function version(): string {
  const file = findPackageJSON(import.meta.url)
  if (file === undefined) throw new Error('unreachable: this file is part of a package')
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  return version
}

function eachCommand(self: CommandUnknownOpts, visit: (self: CommandUnknownOpts) => void): void {
  visit(self)
  for (const child of self.commands) eachCommand(child, visit)
}
