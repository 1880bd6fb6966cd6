import { Command, CommanderError, type CommandUnknownOpts } from '@commander-js/extra-typings'
import { pathOf, type Terminal } from './commands/command.ts'
import { applyCommand } from './commands/apply.ts'
import { clientCommands } from './commands/client.ts'
import { dbCommands } from './commands/db.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { keyCommands } from './commands/key.ts'
import { resourceCommands } from './commands/resource.ts'
import { serveCommand } from './commands/serve.ts'
import { sessionCommands } from './commands/session.ts'
import { userCommands } from './commands/user.ts'

/** Runs one command line: `argv` is all that follows the program's name. Failures are told on stderr and by `fail`. */
export async function runCommandLine(terminal: Terminal, argv: readonly string[]): Promise<void> {
  // Whoever reads our output may have seen enough (`| head`).
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  const program = new Command('mintmark')
    .description('Mintmark, a standalone OAuth 2 authorization server')
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
  serveCommand(program, terminal)
  devCommand(program, terminal)
  clientCommands(program, terminal)
  resourceCommands(program, terminal)
  applyCommand(program, terminal)
  dbCommands(program, terminal)
  sessionCommands(program, terminal)
  keyCommands(program, terminal)
  userCommands(program, terminal)
  doctorCommand(program, terminal)

  eachCommand(program, self => tellUsageErrors(self, terminal))
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for has the exit code 0; help shown because a verb is missing has not.
    if (error.exitCode !== 0) terminal.fail(2)
  }
}

/** `error: unknown option '--jsn'` as `mintmark key list: unknown option '--jsn'`, and where to look. */
function tellUsageErrors(self: CommandUnknownOpts, terminal: Terminal): void {
  self.configureOutput({
    outputError: text => {
      const sentence = text
        .replace(/^error: /, '')
        .trimEnd()
        .replaceAll('\n', ' ')
      terminal.stderr.write(`${pathOf(self)}: ${sentence}\n\`${pathOf(self)} --help\` shows how it is used\n`)
    },
  })
}

function eachCommand(self: CommandUnknownOpts, visit: (self: CommandUnknownOpts) => void): void {
  visit(self)
  for (const child of self.commands) eachCommand(child, visit)
}
