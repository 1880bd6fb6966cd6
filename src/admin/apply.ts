import { listClients } from '../../db/clients/clients.ts'
import { applyChanges } from '../../db/clients/declaration.ts'
import { listResources } from '../../db/clients/resources.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type { ClientTable, GroupTable, ResourceTable, UserTable } from '../../db/schema.ts'
import { authMethodOf, resourceFinder } from '../clients/judge-client.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { wishProblems } from '../clients/wishes.ts'
import { clientMetadata, clientSettings, judgeRegistration, newClientRow } from '../clients/registration.ts'
import { Refusal } from '../errors.ts'
import { rolesColumn } from '../protocol/roles.ts'
import { hashSecret, newClientSecret } from '../protocol/secrets.ts'
import type { Changes, Event } from '../record/events.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { refuseClientUnlessUnlimited, refuseOwnEndOfClient } from './administrators.ts'
import { refuseConsoleClient } from './console-client.ts'
import type { DeclaredUser, Declaration } from './declaration.ts'
import { differencesOf } from './differences.ts'
import { allGroupsMax, newGroupRow } from './groups.ts'
import { ownClaims } from './own-claims.ts'
import { algsOf, newAlgWarning, pendingAlgs, pendingClientAlgs, type AlgChange } from './pending-algs.ts'
import { planGroups } from './planned-groups.ts'
import { planUsers } from './planned-users.ts'
import { logPolicy, planPolicy, type PolicyChange, type PolicySettings } from './policy.ts'
import { newResourceRow, resourceMetadata, resourceSettings, type ResourceMetadata } from './resources.ts'
import type { GroupMetadata } from './roles.ts'

/** One thing that is declared, and what has to be done for it. */
export interface Step<Declared = unknown, Row = unknown> {
  readonly kind: 'resource' | 'client' | 'group' | 'user' | 'policy'
  /** The URI of a resource, the id of a client, the name of a group or a user, whose policy it is. */
  readonly name: string
  readonly declared: Declared
  readonly action: 'create' | 'change' | 'none'
  /** As it was when this was planned; undefined for what was not there. */
  readonly found: Row | undefined
  readonly differences: Changes
  /** Sentences about what to know of it. */
  readonly warnings: readonly string[]
}

/** In the order of the declaration. */
export interface Plan {
  readonly resources: readonly Step<ResourceMetadata, ResourceTable>[]
  readonly clients: readonly Step<ClientMetadata, ClientTable>[]
  readonly groups: readonly Step<GroupMetadata, GroupTable>[]
  readonly users: readonly Step<DeclaredUser, UserTable>[]
  /** That of the keys, where something of it is declared. */
  readonly policies: readonly Step<PolicyChange | undefined, never>[]
}

/** All steps of a plan. */
export function stepsOf({ resources, clients, groups, users, policies }: Plan): readonly Step[] {
  return [...resources, ...clients, ...groups, ...users, ...policies]
}

/** The steps of a plan that change something. */
export function dueSteps(plan: Plan): readonly Step[] {
  return stepsOf(plan).filter(({ action }) => action !== 'none')
}

/** The document of a step. */
export function describeStep({ action, kind, name, differences }: Step) {
  return { action, kind, name, differences }
}

/** Plans what has to be done so that all is as declared. Refuses what cannot be, with all reasons. */
export async function planDeclaration(admin: Admin, declaration: Declaration): Promise<Plan> {
  const { resources, clients } = declaration
  const { db, config } = admin
  const foundResources = new Map((await listResources(db)).map(row => [row.uri, row]))
  const findResource = resourceFinder([...[...foundResources.values()].map(resourceMetadata), ...resources])
  const used = await listUsedAlgs(db)
  const aboutAlgs = (algs: readonly string[]) =>
    algs.map(alg => newAlgWarning(alg, used)).filter(words => words !== undefined)
  const own = await ownClaims(db)
  const uris = new Set([...foundResources.keys(), ...resources.map(({ uri }) => uri)])
  const foundClients = new Map((await listClients(db)).map(row => [row.id, row]))

  const refusals: string[] = []
  const planned = await planPeople(admin, declaration, uris)
  refusals.push(...planned.problems)
  const plan = {
    resources: resources.map(declared => {
      const { uri } = declared
      if (uri === config.issuer)
        refusals.push(`${uri}: it is the issuer, the audience of tokens for no particular resource`)
      refusals.push(...[...wishProblems(declared.claims, own)].map(problem => `${uri}: ${problem}`))
      return {
        kind: 'resource' as const,
        name: uri,
        ...compare(declared, foundResources.get(uri), resourceMetadata),
        warnings: aboutAlgs([declared.alg]),
      }
    }),
    clients: clients.map(declared => {
      const { client_id: id } = declared
      refuseConsoleClient(id)
      const found = foundClients.get(id)
      const verdict = judgeRegistration(declared, findResource)
      const problems = [...verdict.refusals, ...wishProblems(declared.claims, own)]
      refusals.push(...problems.map(problem => `${id}: ${problem}`))
      if (found) refusals.push(...judgeChange(clientMetadata(found), declared))
      refuseClientUnlessUnlimited(admin, declared)
      if (found) refuseClientUnlessUnlimited(admin, clientMetadata(found))
      refuseOwnEndOfClient(admin, id, declared)
      const warnings = [...verdict.warnings, ...aboutAlgs(algsOf(declared))]
      return { kind: 'client' as const, name: id, ...compare(declared, found, clientMetadata), warnings }
    }),
    groups: planned.groups,
    users: planned.users,
    policies: await planPolicies(admin, declaration.keyPolicy),
  }
  if (refusals.length > 0) {
    throw new Refusal('invalid', ['what is declared cannot be:', ...refusals].join('\n- '))
  }
  return plan
}

/** Groups before users: both say who administers then. */
async function planPeople(
  admin: Admin,
  { groups, users }: Declaration,
  resources: ReadonlySet<string>,
): Promise<Pick<Plan, 'groups' | 'users'> & { readonly problems: readonly string[] }> {
  const ofGroups = await planGroups(admin, groups, resources)
  const ofUsers = await planUsers(admin, users, { resources, groups: ofGroups.after })
  return {
    problems: [...ofGroups.problems, ...ofUsers.problems],
    groups: ofGroups.groups.map(group => ({
      kind: 'group',
      ...group,
      action: actionOf(group),
      warnings: [],
    })),
    users: ofUsers.users.map(user => ({ kind: 'user', ...user, action: actionOf(user), warnings: [] })),
  }
}

async function planPolicies(admin: Admin, declared: PolicySettings): Promise<Plan['policies']> {
  if (Object.values(declared).every(setting => setting === undefined)) return []
  const change = await planPolicy(admin, declared)
  const { warning, note } = change?.to ?? {}
  return [
    {
      kind: 'policy',
      name: 'keys',
      declared: change,
      action: change ? 'change' : 'none',
      found: undefined,
      differences: change ? differencesOf(change.from.policy, change.to.policy) : {},
      warnings: [warning && `${warning.text}: ${warning.advice}`, note].filter(words => words !== undefined),
    },
  ]
}

/**
 * Why a client that is there cannot become what is declared: how it authenticates does not change in one
 * step.
 */
function judgeChange(found: ClientMetadata, declared: ClientMetadata): readonly string[] {
  const id = declared.client_id
  if (found.public !== declared.public) {
    return [`${id}: a client stays public or confidential: delete it first, or declare another`]
  }
  if (authMethodOf(found) === authMethodOf(declared)) return []
  return [
    `${id}: it would authenticate with ${authMethodOf(declared)} instead of ${authMethodOf(found)}: ` +
      '`mintmark client set-keys` and `rotate-secret` let the old one work for a while',
  ]
}

function compare<Declared extends object, Row>(
  declared: Declared,
  found: Row | undefined,
  declaredBy: (row: Row) => Declared,
) {
  const compared = { declared, found, differences: differencesOf(found && declaredBy(found), declared) }
  return { ...compared, action: actionOf(compared) }
}

function actionOf({ found, differences }: Pick<Step, 'found' | 'differences'>): Step['action'] {
  if (!found) return 'create'
  return Object.keys(differences).length > 0 ? 'change' : 'none'
}

export interface Applied {
  /** The secrets of the new clients that have one, by their ids. They are shown nowhere else. */
  readonly secrets: ReadonlyMap<string, string>
  /**
   * When the algorithms of what was changed begin to sign, by URIs and ids; without those that do already.
   */
  readonly algChanges: ReadonlyMap<string, AlgChange>
}

/**
 * Makes all changes of a plan in one transaction. Refuses, and has changed nothing, when one has lost its
 * ground since the plan was made. `onProgress` is told how many are made.
 */
export async function applyPlan(
  admin: Admin,
  plan: Plan,
  onProgress: (made: number) => void = () => {},
): Promise<Applied> {
  const now = admin.clock.now()
  const resources = Object.groupBy(plan.resources, ({ action }) => action)
  const clients = Object.groupBy(plan.clients, ({ action }) => action)
  const groups = Object.groupBy(plan.groups, ({ action }) => action)
  const { create: newClients = [], change: changedClients = [] } = clients
  const policy = plan.policies[0]?.declared
  const { create: newResources = [], change: changedResources = [] } = resources
  const secrets = new Map(
    newClients
      .filter(({ declared }) => authMethodOf(declared) === 'client_secret')
      .map(({ name }) => [name, newClientSecret()]),
  )
  const secretHashOf = (id: string) => {
    const secret = secrets.get(id)
    return secret === undefined ? null : hashSecret(secret)
  }
  const changes = {
    newResources: newResources.map(({ declared }) => newResourceRow(declared, now)),
    newClients: newClients.map(({ name, declared }) =>
      newClientRow(declared, { secretHash: secretHashOf(name), now }),
    ),
    resources: changesOf(changedResources, resourceSettings),
    clients: changesOf(changedClients, clientSettings),
    groups: {
      added: (groups.create ?? []).map(({ declared }) => newGroupRow(declared, now)),
      changed: changesOf(groups.change ?? [], ({ roles }) => ({ roles: rolesColumn(roles) })),
      groupsMax: allGroupsMax,
    },
    users: changesOf(
      plan.users.filter(({ action }) => action === 'change'),
      ({ roles }) => ({ roles: rolesColumn(roles) }),
    ),
    policy: policy && { from: policy.from.policy, to: policy.to.policy, now },
  }
  const events = () => eventsOf(plan)
  if (!(await record(admin, events, db => applyChanges(db, changes, onProgress)))) {
    throw new Refusal(
      'conflict',
      'somebody else has changed the same things meanwhile',
      'nothing was changed, run it again',
    )
  }
  if (policy) logPolicy(admin, policy)
  return { secrets, algChanges: await algChangesOf(admin, plan) }
}

/** By their names, the settings of what is changed, with the rows on which the plan was made. */
function changesOf<Declared, Row extends object, Settings>(
  steps: readonly Step<Declared, Row>[],
  settingsOf: (declared: Declared) => Settings,
) {
  return new Map(
    steps.flatMap(({ name, declared, found: seen }) =>
      seen ? [[name, { seen, settings: settingsOf(declared) }] as const] : [],
    ),
  )
}

async function algChangesOf(admin: Admin, plan: Plan): Promise<ReadonlyMap<string, AlgChange>> {
  const pending = { resource: await pendingAlgs(admin), client: await pendingClientAlgs(admin) }
  return new Map(
    dueSteps(plan).flatMap(({ kind, name }) => {
      const change = kind === 'resource' || kind === 'client' ? pending[kind].get(name) : undefined
      return change ? [[name, change] as const] : []
    }),
  )
}

function eventsOf({ resources, clients, groups, users, policies }: Plan): readonly Event[] {
  const isDue = ({ action }: Step) => action !== 'none'
  return [
    ...[...resources, ...clients].filter(isDue).map(eventOf),
    ...groups.filter(isDue).map(({ name: group, action, declared, differences: { roles } }): Event => {
      if (action === 'create') return { event: 'group_created', detail: { group, roles: declared.roles } }
      return { event: 'group_changed', detail: { group, ...(roles && { roles }) } }
    }),
    ...users.filter(isDue).map(({ found, differences: { roles } }): Event => {
      if (!found) throw new Error('unreachable: no user is made')
      return { event: 'user_changed', userId: found.id, detail: { ...(roles && { roles }) } }
    }),
    ...policies.flatMap(({ declared }): Event[] => {
      const detail = declared && { from: declared.from.policy, to: declared.to.policy }
      return detail ? [{ event: 'key_policy_changed', detail }] : []
    }),
  ]
}

function eventOf({ kind, name, action, differences }: Step): Event {
  const isNew = action === 'create'
  if (kind === 'client') {
    return { event: isNew ? 'client_created' : 'client_changed', clientId: name, detail: differences }
  }
  return { event: isNew ? 'resource_created' : 'resource_changed', detail: { uri: name, ...differences } }
}
