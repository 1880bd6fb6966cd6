import type { Command } from '@commander-js/extra-typings'
import {
  addDemo,
  demoAdminName,
  demoAgent,
  demoDevice,
  demoGateway,
  demoName,
  demoNative,
  demoSpa,
  demoWeb,
  type Demo,
} from '../admin/demo.ts'
import { consoleUrl } from '../clients/console-client.ts'
import { loadConfig } from '../config/load.ts'
import { noteShownMails } from '../mail/shown.ts'
import { openLog } from '../record/log.ts'
import { describeServer } from './serve.ts'
import { command, verb, type Terminal } from './shell/command.ts'

/** How the command is called: what runs from its source is in a checkout. */
const program = import.meta.filename.endsWith('.ts') ? './mintmark' : 'mintmark'

/** `mintmark dev`: the server, with something to try it on. */
export function devCommand(program: Command, terminal: Terminal): void {
  verb(program, 'dev', 'run the server, with a user and clients to try it on in an empty database', [
    'mintmark dev',
  ]).action(
    command(terminal, async ({ env, workingDirectory, clock, stdout, stderr, onSignal }, { json }) => {
      // No proxy stands before it that would have to learn that it ends.
      const settings = loadConfig({ MINTMARK_DRAIN: '0', ...env }, workingDirectory)
      const { startServer, untilSignal } = await import('../server.ts')
      const server = await startServer(settings, clock, openLog(settings.logLevel, stderr), {
        // Not by the log, which cuts out the secrets of links.
        showMail: mail => void stderr.write(`\n${mail}\n`),
      })
      // It serves from now on: a signal while the demo is made ends it as at any other time.
      const ended = untilSignal(server, onSignal)
      const forgetShownMails = settings.smtp ? undefined : noteShownMails(settings)
      const { issuer } = settings
      const admins = consoleUrl(settings)
      const { passwords } = server.ctx.users
      const demo = await addDemo({ ...server.ctx, passwords, actor: { kind: 'server' } }, settings.home)
      const lines = [
        `Issuer   ${issuer}`,
        `JWKS     ${issuer}/.well-known/jwks.json`,
        ...logInLines(issuer),
        ...(admins === undefined ? [] : [`Console  ${admins}, to log in as ${demoAdminName}`]),
        ...(demo ? firstSteps(server.url, demo) : laterSteps(settings.home)),
        '',
        'Ctrl-C ends the server.',
      ]
      const document = {
        ...describeServer(server.url, settings),
        console_url: admins ?? null,
        demo: demo ? describeDemo(server.url, demo) : null,
      }
      stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${lines.join('\n')}\n`)
      try {
        await ended
      } finally {
        forgetShownMails?.()
      }
    }),
  )
}

/** Where people log in: at their own accounts, and at an example, which is in a checkout. */
function logInLines(issuer: string): string[] {
  const at = issuer === 'http://127.0.0.1:9000' ? '' : `ISSUER=${issuer} `
  return [
    `Account  ${issuer}/account, to log in as ${demoName} without an app`,
    `App      ${demoWeb.origin}, once \`${at}npm run example:web\` runs in another terminal`,
  ]
}

function firstSteps(url: string, demo: Demo): string[] {
  return [
    `User     ${demoName} with the password ${demo.password}`,
    `Admin    ${demoAdminName} with the password ${demo.adminPassword}`,
    '         (both shown this once; only hashes are stored)',
    '',
    'A first token without a browser:',
    '',
    curlOf(url, demo),
  ]
}

function curlOf(url: string, { clientSecret, password }: Demo): string {
  return `curl -sS ${url}/token -u ${demoName}:${clientSecret} -d grant_type=password -d username=${demoName} -d password=${password}`
}

function describeDemo(url: string, demo: Demo) {
  const { clientSecret: client_secret, password, adminPassword, webKeyFile: private_key_file } = demo
  return {
    client_id: demoName,
    client_secret,
    username: demoName,
    password,
    admin: { username: demoAdminName, password: adminPassword },
    curl: curlOf(url, demo),
    log_in_url: demoWeb.origin,
    apps: [
      { client_id: demoWeb.id, url: demoWeb.origin, private_key_file },
      { client_id: demoSpa.id, url: demoSpa.origin },
      { client_id: demoNative.id },
      { client_id: demoDevice.id },
      { client_id: demoGateway.id },
      { client_id: demoAgent.id },
    ],
  }
}

function laterSteps(home: string): string[] {
  return [
    '',
    `The database in ${home} has clients already. Their secrets and passwords are not stored; for new ones of the demo:`,
    `  ${program} client rotate-secret ${demoName}`,
    `  ${program} user passwd ${demoName}`,
    `  ${program} user passwd ${demoAdminName}`,
  ]
}
