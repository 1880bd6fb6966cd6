import type { Command } from '@commander-js/extra-typings'
import type { Admin } from '../admin/admin.ts'
import { applyPlan, type Applied } from '../admin/apply.ts'
import { parseDeclaration } from '../admin/declaration.ts'
import { describeStep, dueSteps, planDeclaration, stepsOf, type Plan, type Step } from '../admin/plan.ts'
import type { Changes } from '../record/events.ts'
import { formatCount } from '../values/formats.ts'
import { drawAlgChange } from './alg-change.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { drawDifferences, formatSetting } from './shell/differences.ts'
import { readInput } from './shell/input.ts'
import { facts } from './shell/output.ts'
import { openProgress } from './shell/progress.ts'
import { confirm } from './shell/prompt.ts'

const example = `
The file:
  claims:                      # of your own, as \`mintmark claim create --help\` explains
    - name: acme_plan
      kind: string
      source: { groups: { premium: gold }, otherwise: basic }
  resources:
    - uri: https://api.example
      scope: [read, write]
      scope_words: { read: Read your orders } # optional, as are all below but client_id
      alg: ES256
      access_token_ttl: 5m
      status: true             # whether its tokens say where their status is listed
      claims: [roles, groups]  # what they say of people; left out: roles, where there are any
  clients:
    - client_id: web
      public: true
      dpop_bound_access_tokens: true
      grant_types: [authorization_code, refresh_token]
      redirect_uris: [https://web.example/callback]
      scope: [read, write]
      resources: [https://api.example]
      resource_server: []      # the APIs it serves, whose tokens it may introspect
      admin: false
      refresh: rotate
      refresh_idle_ttl: 30d
      refresh_absolute_ttl: 180d
    - client_id: orders-api
      resource_server: [https://api.example]
    - client_id: deploy
      federated: true
      grant_types: [jwt-bearer]
  issuers:                     # who says which program is which client: docs/workload-identity.md
    - issuer: https://gitlab.example
      audience: https://as.example # left out: the issuer of this server
      max_life: 1h
      reusable: false
      subjects:                # jwks or jwks_uri beside them; left out: the issuer says where its keys are
        - client: deploy
          subject: project_path:acme/shop:ref_type:branch:ref:main # or subject_pattern
          claims: { project_id: '22' }
  groups:
    - name: staff
      roles: [editor, reviewer@https://api.example]
  users:                       # who are there: none is made, since there are no passwords here
    - username: ada
      roles: [mintmark:admin, editor]
  streams:                     # each is known by its client and by where it is pushed to (Shared Signals)
    - client_id: orders-api
      push: https://orders.example/events # left out: its receiver fetches them
      events: [session-revoked, account-disabled] # left out: all that there are
      subjects: ALL            # or NONE: those users alone that its receiver adds
      audience: orders-api
      description: Orders
  key_policy:                  # as \`mintmark key policy\` sets it
    key_rotation_seconds: 30d
    jwks_max_age_seconds: 5m
    clock_skew_seconds: 1m

A client has a secret, or instead jwks, jwks_uri, tls_subject or federated, as \`mintmark client create --help\` explains. What
else there is for those to which people log in: docs/log-in.md. The Authorization of pushes is a secret, and not in the
file: \`mintmark stream update ID --authorization-file FILE\` sets it.
What the file does not name is left alone. What it names becomes as it says: a key that is left out gets its default, and
a setting of the key policy stays. All is done in one transaction, or nothing.`

/** `mintmark apply`: makes all that a file declares. */
export function applyCommand(program: Command, terminal: Terminal): void {
  verb(
    program,
    'apply',
    'make claims, resources, clients, issuers, groups, roles and streams as a YAML or JSON file declares them',
    ['mintmark apply mintmark.yaml --dry-run', 'mintmark apply mintmark.yaml --yes'],
  )
    .argument('<file>', 'what there shall be; - is stdin')
    .option('--dry-run', 'show the plan and change nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', example)
    .action(
      command(terminal, async (run, path, { dryRun = false, yes }) => {
        const { name: file, text } = await readInput(run, path)
        const declaration = await parseDeclaration(file, text)
        const admin = await run.open()
        const plan = await planDeclaration(admin, declaration)
        const steps = stepsOf(plan)
        const changes = steps.map(describeStep)
        const dueCount = dueSteps(plan).length
        const unchanged = { file, applied: false, changes }
        if (dueCount === 0) {
          const thing = formatCount(steps.length, 'thing')
          return { text: `Nothing to do: ${thing} in ${file}, and all is as it says.`, json: unchanged }
        }
        const drawn = `Plan for ${file}:\n${steps.map(draw).join('\n')}`
        if (dryRun) return { text: `${drawn}\nNothing was changed (--dry-run).`, json: unchanged }
        run.note(drawn)
        await confirm(run, `Make ${formatCount(dueCount, 'change')}?`, { yes })
        const { secrets, algChanges } = await applyVisibly(run, admin, plan)
        const lines = [`Made ${formatCount(dueCount, 'change')}.`]
        const client_secrets = Object.fromEntries(secrets)
        if (secrets.size > 0) {
          lines.push('Client secrets, which are not shown again:', facts(client_secrets))
        }
        for (const [name, change] of algChanges) lines.push(`${name}: ${drawAlgChange(change)}`)
        return { text: lines.join('\n'), json: { file, applied: true, changes, client_secrets } }
      }),
    )
}

async function applyVisibly(run: Run, admin: Admin, plan: Plan): Promise<Applied> {
  const progress = openProgress(run, 'change', dueSteps(plan).length)
  try {
    return await applyPlan(admin, plan, progress.at)
  } finally {
    progress.end()
  }
}

const signs = { create: '+', change: '~', none: '=' } as const

function draw({ action, kind, name, differences, warnings }: Step): string {
  const lines = action === 'create' ? drawNew(name, differences) : drawDifferences(differences)
  const notes = action === 'none' ? [] : warnings.map(warning => `note: ${warning}`)
  const details = [...lines, ...notes].map(line => `      ${line}`)
  return [`  ${signs[action]} ${kind} ${name}`, ...details].join('\n')
}

/** Of what is new, the defaults and the name itself say nothing. */
function drawNew(name: string, differences: Changes): string[] {
  return Object.entries(differences)
    .map(([key, { to }]) => [key, formatSetting(key, to)] as const)
    .filter(([, to]) => !['default', 'false', 'none', name].includes(to))
    .map(([key, to]) => `${key}: ${to}`)
}
