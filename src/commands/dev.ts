import type { Command } from '@commander-js/extra-typings'
import { insertClient, listClients } from '../../db/clients/clients.ts'
import { insertResource } from '../../db/clients/resources.ts'
import { insertUser } from '../../db/users/users.ts'
import { audited } from '../../db/writer.ts'
import { plainClientRow } from '../clients/registration.ts'
import { loadConfig } from '../config/load.ts'
import type { Context } from '../context.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import { hashSecret, newClientSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { auditEntry, type AuditEvent, type AuditFacts } from '../record/audit-trail.ts'
import { openLog } from '../record/log.ts'
import { describeServer } from './serve.ts'
import { command, verb, type Terminal } from './shell/command.ts'

const demoResource = 'https://api.example'
const demoScope = 'read write'
const demoName = 'demo'

/** How the command is called: what runs from its source is in a checkout. */
const program = import.meta.filename.endsWith('.ts') ? './mintmark' : 'mintmark'

/** `mintmark dev`: the server, with something to try it on. */
export function devCommand(program: Command, terminal: Terminal): void {
  verb(program, 'dev', 'run the server, with a demo client and user in an empty database', [
    'mintmark dev',
  ]).action(
    command(terminal, async ({ env, workingDirectory, clock, stdout, stderr, onSignal }, { json }) => {
      // Nobody stands before it who would have to learn that it ends.
      const settings = loadConfig({ MINTMARK_DRAIN: '0', ...env }, workingDirectory)
      const { startServer, untilSignal } = await import('../server.ts')
      const server = await startServer(settings, clock, openLog(settings.logLevel, stderr))
      const { issuer } = settings
      const demo = await addDemo(server.ctx)
      const lines = [
        `Issuer   ${issuer}`,
        `JWKS     ${issuer}/.well-known/jwks.json`,
        '',
        ...(demo ? firstSteps(server.url, demo) : laterSteps(settings.home)),
        '',
        'Ctrl-C ends the server.',
      ]
      const document = {
        ...describeServer(server, settings),
        demo: demo ? describeDemo(server.url, demo) : null,
      }
      stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${lines.join('\n')}\n`)
      await untilSignal(server, onSignal)
    }),
  )
}

interface Demo {
  readonly clientSecret: string
  readonly password: string
}

/** Adds a resource, a client and a user with random secrets, if there is no client yet. */
async function addDemo(ctx: Context): Promise<Demo | undefined> {
  const { db } = ctx
  if ((await listClients(db)).length > 0) return undefined
  const now = ctx.clock.now()
  const demo = { clientSecret: newClientSecret(), password: newSessionSecret().toString('base64url') }
  const resource = {
    uri: demoResource,
    scope: demoScope,
    alg: defaultAlg,
    previous_alg: defaultAlg,
    access_token_seconds: null,
    has_status: 1,
    created_at: now,
  }
  const entry = (event: AuditEvent, facts: Partial<AuditFacts>) =>
    audited(db, auditEntry({ at: now, event, actor: 'server', ...facts }))
  await insertResource(entry('resource_created', { detail: { uri: demoResource } }), resource)
  const userId = newUuid(now)
  await insertUser(entry('user_created', { userId, detail: { username: demoName } }), {
    id: userId,
    username: demoName,
    ...(await ctx.users.passwords.hash(demo.password)),
    roles: '',
    epoch: 0,
    created_at: now,
    disabled_at: null,
  })
  const isFirst = await insertClient(
    entry('client_created', { clientId: demoName }),
    plainClientRow({
      id: demoName,
      secret_hash: hashSecret(demo.clientSecret),
      grant_types: 'password refresh_token client_credentials',
      scope: demoScope,
      resources: demoResource,
      created_at: now,
    }),
  )
  return isFirst ? demo : undefined
}

function firstSteps(url: string, demo: Demo): string[] {
  return ['A first token (shown this once; only hashes are stored):', '', curlOf(url, demo)]
}

function curlOf(url: string, { clientSecret, password }: Demo): string {
  return `curl -sS ${url}/token -u ${demoName}:${clientSecret} -d grant_type=password -d username=${demoName} -d password=${password}`
}

function describeDemo(url: string, demo: Demo) {
  const { clientSecret: client_secret, password } = demo
  return { client_id: demoName, client_secret, username: demoName, password, curl: curlOf(url, demo) }
}

function laterSteps(home: string): string[] {
  return [
    `The database in ${home} has clients already. Their secrets are not stored; for new ones of the demo:`,
    `  ${program} client rotate-secret ${demoName}`,
    `  ${program} user passwd ${demoName}`,
  ]
}
