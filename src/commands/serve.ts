import type { Command } from '@commander-js/extra-typings'
import type { Config } from '../config/load.ts'
import { openLog } from '../record/log.ts'
import { shareOf, workersOf } from '../workers/count.ts'
import { alone, isWorker, joinTeam } from '../workers/team.ts'
import { command, verb, type Terminal } from './shell/command.ts'

/** `mintmark serve`: the server, until a signal ends it. */
export function serveCommand(program: Command, terminal: Terminal): void {
  verb(program, 'serve', 'run the server', [
    'mintmark serve',
    'MINTMARK_ISSUER=https://auth.example mintmark serve',
  ]).action(
    command(terminal, async ({ config, clock, stdout, stderr, onSignal }, { json }) => {
      const settings = config()
      const workers = workersOf(settings)
      const say = (url: string) =>
        json && stdout.write(`${JSON.stringify(describeServer(url, settings), null, 2)}\n`)
      if (workers > 1 && !isWorker()) {
        const { superviseWorkers } = await import('../workers/primary.ts')
        const options = { clock, log: openLog(settings.logLevel, stderr), onSignal, onServing: say }
        if ((await superviseWorkers(settings, workers, options)) === 1) terminal.fail(1)
        return
      }
      const team = isWorker() ? joinTeam(workers) : alone
      try {
        // Loaded only now: it is a third of all code, and no other command needs it.
        const { startServer, untilSignal } = await import('../server.ts')
        const log = openLog(settings.logLevel, stderr, team.worker)
        const server = await startServer(shareOf(settings, workers), clock, log, { team })
        if (!isWorker()) say(server.url)
        await untilSignal(server, team.endedBy(onSignal))
      } finally {
        team.leave()
      }
    }),
  )
}

/** Where it serves, for a program that has started it. */
export function describeServer(url: string, { issuer, metricsHost, metricsPort }: Config) {
  return {
    issuer,
    url,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    metrics_url: metricsPort === 0 ? null : `http://${metricsHost}:${metricsPort}/metrics`,
    process_id: process.pid,
  }
}
