import type { Command } from '@commander-js/extra-typings'
import { listClients } from '../../../db/clients/clients.ts'
import { applyChanges } from '../../../db/clients/declaration.ts'
import { listResources } from '../../../db/clients/resources.ts'
import type { Database } from '../../../db/database.ts'
import { audited, type NewAuditEntry } from '../../../db/writer.ts'
import { readDeclaration, type Declaration } from '../../admin/declaration.ts'
import { differencesOf } from '../../admin/differences.ts'
import { resourceMetadata, resourceSettings, type ResourceMetadata } from '../../admin/resources.ts'
import { newRingWarning, pendingAlgs } from '../../admin/rings.ts'
import type { Changes } from '../../record/events.ts'
import {
  clientMetadata,
  judgeRegistration,
  clientSettings,
  newClientRow,
} from '../../clients/registration.ts'
import { defaultAlg } from '../../keys/algorithms.ts'
import { authMethodOf, type ClientMetadata } from '../../protocol/client-metadata.ts'
import { hashSecret, newClientSecret } from '../../protocol/secrets.ts'
import { counted } from '../../values/formats.ts'
import { drawAlgChange } from '../resource/alg-change.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { readInput, type Input } from '../shell/input.ts'
import { facts } from '../shell/output.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'
import { drawDifferences, formatSetting } from '../shell/differences.ts'

const example = `
The file:
  resources:
    - uri: https://api.example
      scope: [read, write]
      alg: ES256               # optional, as are all below but client_id
      access_token_ttl: 5m
      status: true             # whether its tokens say where their status is listed
  clients:
    - client_id: web
      public: true
      dpop_bound_access_tokens: true
      grant_types: [password, refresh_token]
      scope: [read, write]
      resources: [https://api.example]
      resource_server: []      # the APIs it serves, whose tokens it may introspect
      admin: false
      refresh: rotate
      refresh_idle_ttl: 30d
      refresh_absolute_ttl: 180d

A client has a secret, or instead jwks, jwks_uri or tls_subject, as \`mintmark client create --help\` explains.
What the file does not name is left alone. What it names becomes as it says: a key that is left out gets its default.`

/** `mintmark apply`: resources and clients as a file declares them. */
export function applyCommand(program: Command, terminal: Terminal): void {
  verb(program, 'apply', 'make resources and clients as a YAML or JSON file declares them', [
    'mintmark apply mintmark.yaml --dry-run',
    'mintmark apply mintmark.yaml --yes',
  ])
    .argument('<file>', 'what there shall be; - is stdin')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', example)
    .action(
      command(terminal, async (run, path, { dryRun = false, yes }) => {
        const input = await readInput(run, path)
        const declaration = await declarationIn(input)
        const file = input.name
        const installation = await run.open()
        const { config, db } = installation
        const plan = await planFor(db, declaration, config.issuer)
        const steps = [...plan.resources, ...plan.clients]
        const changes = steps.map(({ action, kind, name, differences }) => ({
          action,
          kind,
          name,
          differences,
        }))
        const dueCount = steps.filter(({ action }) => action !== 'none').length
        if (dueCount === 0) {
          const text = `Nothing to do: ${counted(steps.length, 'thing')} in ${file}, and all is as it says.`
          return { text, json: { file, applied: false, changes } }
        }
        const drawn = `Plan for ${file}:\n${steps.map(draw).join('\n')}`
        if (dryRun) {
          return {
            text: `${drawn}\nNothing was changed (--dry-run).`,
            json: { file, applied: false, changes },
          }
        }
        run.note(drawn)
        await confirm(run, `Make ${counted(dueCount, 'change')}?`, { yes })
        const secrets = Object.fromEntries(await makeChanges(run, db, plan))
        const lines = [`Made ${counted(dueCount, 'change')}.`]
        if (Object.keys(secrets).length > 0) {
          lines.push('Client secrets, which are not shown again:', facts(secrets))
        }
        const pending = await pendingAlgs(installation)
        for (const { name } of plan.resources.filter(({ action }) => action !== 'none')) {
          const change = pending.get(name)
          if (change) lines.push(`${name}: ${drawAlgChange(change)}`)
        }
        return { text: lines.join('\n'), json: { file, applied: true, changes, client_secrets: secrets } }
      }),
    )
}

async function declarationIn({ name: file, text }: Input): Promise<Declaration> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { prettyErrors: true })
  const mistakes = [...document.errors, ...document.warnings].map(({ message }) => message.trim())
  if (mistakes.length > 0) throw new CommandError(`${file} cannot be read:\n- ${mistakes.join('\n- ')}`)
  const { declaration, problems } = readDeclaration(document.toJS())
  if (problems.length > 0) throw new CommandError(`${file} is not valid:\n- ${problems.join('\n- ')}`)
  return declaration
}

interface Step<Declared> {
  readonly kind: 'resource' | 'client'
  readonly name: string
  readonly declared: Declared
  readonly action: 'create' | 'change' | 'none'
  readonly differences: Changes
  readonly warnings: readonly string[]
}

interface Plan {
  readonly resources: readonly Step<ResourceMetadata>[]
  readonly clients: readonly Step<ClientMetadata>[]
}

/** What has to be done, in the order of the file. Throws when the file declares what cannot be. */
async function planFor(db: Database, { resources, clients }: Declaration, issuer: string): Promise<Plan> {
  const resourceRows = await listResources(db)
  const foundResources = new Map(resourceRows.map(row => [row.uri, resourceMetadata(row)]))
  const aboutAlg = new Map(declaredAlgs(resources).map(alg => [alg, newRingWarning(alg, resourceRows)]))
  const foundClients = new Map((await listClients(db)).map(row => [row.id, clientMetadata(row)]))
  const scopes = new Map([...foundResources.values(), ...resources].map(({ uri, scope }) => [uri, scope]))

  const refusals: string[] = []
  const plan = {
    resources: resources.map(declared => {
      const { uri } = declared
      if (uri === issuer)
        refusals.push(`${uri}: it is the issuer, the audience of tokens for no particular resource`)
      return {
        kind: 'resource' as const,
        name: uri,
        ...compare(declared, foundResources.get(uri)),
        warnings: [aboutAlg.get(declared.alg)].filter(words => words !== undefined),
      }
    }),
    clients: clients.map(declared => {
      const { client_id: id } = declared
      const found = foundClients.get(id)
      const verdict = judgeRegistration(declared, uri => scopes.get(uri))
      refusals.push(...verdict.refusals.map(refusal => `${id}: ${refusal}`))
      if (found && found.public !== declared.public) {
        refusals.push(`${id}: a client stays public or confidential: delete it first, or declare another`)
      } else if (found && authMethodOf(found) !== authMethodOf(declared)) {
        refusals.push(
          `${id}: it would authenticate with ${authMethodOf(declared)} instead of ${authMethodOf(found)}: ` +
            '`mintmark client set-keys` and `rotate-secret` let the old one work for a while',
        )
      }
      return { kind: 'client' as const, name: id, ...compare(declared, found), warnings: verdict.warnings }
    }),
  }
  if (refusals.length > 0) throw new CommandError(`what is declared cannot be:\n- ${refusals.join('\n- ')}`)
  return plan
}

const declaredAlgs = (resources: readonly ResourceMetadata[]) => [...new Set(resources.map(({ alg }) => alg))]

function compare<Declared extends object>(declared: Declared, found: Declared | undefined) {
  const differences = differencesOf(found, declared)
  const isChanged = Object.keys(differences).length > 0
  return { declared, differences, action: !found ? 'create' : isChanged ? 'change' : 'none' } as const
}

const signs = { create: '+', change: '~', none: '=' } as const

function draw({ action, kind, name, differences, warnings }: Step<unknown>): string {
  const lines = action === 'create' ? drawNew(name, differences) : drawDifferences(differences)
  const notes = action === 'none' ? [] : warnings.map(warning => `note: ${warning}`)
  const details = [...lines, ...notes].map(line => `      ${line}`)
  return [`  ${signs[action]} ${kind} ${name}`, ...details].join('\n')
}

/** Of what is new, the defaults and the name itself say nothing. */
function drawNew(name: string, differences: Changes): string[] {
  return Object.entries(differences)
    .map(([key, { to }]) => [key, formatSetting(to)] as const)
    .filter(([, to]) => !['default', 'false', 'none', name].includes(to))
    .map(([key, to]) => `${key}: ${to}`)
}

function entryOf(run: Run, { kind, name, action, differences }: Step<unknown>): NewAuditEntry {
  const verb = action === 'create' ? 'created' : 'changed'
  return run.entry(`${kind}_${verb}`, {
    ...(kind === 'client' && { clientId: name }),
    detail: { ...(kind === 'resource' && { uri: name }), ...differences },
  })
}

/** Makes all changes in one transaction, and returns the secrets of the new confidential clients by their ids. */
async function makeChanges(run: Run, db: Database, plan: Plan): Promise<ReadonlyMap<string, string>> {
  const now = run.clock.now()
  const { create: newResources = [], change: resources = [] } = Object.groupBy(
    plan.resources,
    ({ action }) => action,
  )
  const { create: newClients = [], change: clients = [] } = Object.groupBy(
    plan.clients,
    ({ action }) => action,
  )
  const secrets = new Map(
    newClients
      .filter(({ declared }) => authMethodOf(declared) === 'client_secret')
      .map(({ name }) => [name, newClientSecret()]),
  )
  const secretHashOf = (id: string) => {
    const secret = secrets.get(id)
    return secret === undefined ? null : hashSecret(secret)
  }
  const due = [...plan.resources, ...plan.clients].filter(({ action }) => action !== 'none')
  const progress = openProgress(run, 'change', due.length)
  const isDone = await applyChanges(
    audited(db, () => due.map(step => entryOf(run, step))),
    {
      newResources: newResources.map(({ name, declared }) => ({
        uri: name,
        ...resourceSettings(declared),
        previous_alg: defaultAlg,
        created_at: now,
      })),
      newClients: newClients.map(({ name, declared }) =>
        newClientRow(declared, { secretHash: secretHashOf(name), now }),
      ),
      resources: new Map(resources.map(({ name, declared }) => [name, resourceSettings(declared)])),
      clients: new Map(clients.map(({ name, declared }) => [name, clientSettings(declared)])),
    },
    progress.at,
  ).finally(progress.end)
  if (!isDone) {
    throw new CommandError(
      'somebody else has changed the same things meanwhile: nothing was changed, run it again',
    )
  }
  return secrets
}
