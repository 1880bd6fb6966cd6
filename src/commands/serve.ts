import type { Command } from '@commander-js/extra-typings'
import { openLog } from '../log.ts'
import { command, verb, type Terminal } from './command.ts'

/** `mintmark serve`: the server, until a signal ends it. */
export function serveCommand(program: Command, terminal: Terminal): void {
  verb(program, 'serve', 'run the server', [
    'mintmark serve',
    'MINTMARK_ISSUER=https://auth.example mintmark serve',
  ]).action(
    command(terminal, async ({ config, now, stderr }) => {
      const settings = config()
      // Loaded only now: it is a third of all code, and no other command needs it.
      const { startServer, untilSignal } = await import('../server.ts')
      await untilSignal(await startServer(settings, now, openLog(settings.logLevel, stderr)))
    }),
  )
}
