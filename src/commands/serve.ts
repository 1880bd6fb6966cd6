import type { Command } from '@commander-js/extra-typings'
import type { Config } from '../config/load.ts'
import { openLog } from '../record/log.ts'
import type { Server } from '../server.ts'
import { command, verb, type Terminal } from './shell/command.ts'

/** `mintmark serve`: the server, until a signal ends it. */
export function serveCommand(program: Command, terminal: Terminal): void {
  verb(program, 'serve', 'run the server', [
    'mintmark serve',
    'MINTMARK_ISSUER=https://auth.example mintmark serve',
  ]).action(
    command(terminal, async ({ config, clock, stdout, stderr, onSignal }, { json }) => {
      const settings = config()
      // Loaded only now: it is a third of all code, and no other command needs it.
      const { startServer, untilSignal } = await import('../server.ts')
      const server = await startServer(settings, clock, openLog(settings.logLevel, stderr))
      if (json) stdout.write(`${JSON.stringify(describeServer(server, settings), null, 2)}\n`)
      await untilSignal(server, onSignal)
    }),
  )
}

/** Where it serves, for a program that has started it. */
export function describeServer({ url }: Server, { issuer, metricsHost, metricsPort }: Config) {
  return {
    issuer,
    url,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    metrics_url: metricsPort === 0 ? null : `http://${metricsHost}:${metricsPort}/metrics`,
    process_id: process.pid,
  }
}
