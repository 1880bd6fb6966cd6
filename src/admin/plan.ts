import { listClients } from '../../db/clients/clients.ts'
import { listResources } from '../../db/clients/resources.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type {
  ClientTable,
  GroupTable,
  OwnClaimTable,
  ResourceTable,
  StreamTable,
  TrustedIssuerTable,
  UserTable,
} from '../../db/schema.ts'
import { authMethodOf, resourceFinder } from '../clients/judge-client.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { clientMetadata, judgeRegistration } from '../clients/registration.ts'
import type { TrustedIssuerMetadata } from '../clients/trusted-issuer.ts'
import { wishProblems } from '../clients/wishes.ts'
import { Refusal } from '../errors.ts'
import type { OwnClaim } from '../protocol/own-claims.ts'
import type { Changes } from '../record/events.ts'
import type { Admin } from './admin.ts'
import { refuseClientUnlessUnlimited, refuseOwnEndOfClient } from './administrators.ts'
import { refuseOwnClient } from './console-client.ts'
import type { DeclaredUser, Declaration } from './declaration.ts'
import { differencesOf } from './differences.ts'
import { algsOf, newAlgWarning } from './pending-algs.ts'
import { planClaims } from './planned-claims.ts'
import { planIssuers } from './planned-issuers.ts'
import { planGroups } from './planned-groups.ts'
import { planStreams, type DeclaredStream } from './planned-streams.ts'
import { planUsers } from './planned-users.ts'
import { planPolicy, type PolicyChange, type PolicySettings } from './policy.ts'
import { resourceMetadata, type ResourceMetadata } from './resources.ts'
import type { GroupMetadata } from './roles.ts'

/** One thing that is declared, and what has to be done for it. */
export interface Step<Declared = unknown, Row = unknown> {
  readonly kind: 'claim' | 'resource' | 'client' | 'issuer' | 'group' | 'user' | 'stream' | 'policy'
  /** The URI of a resource or issuer, the id of a client, whose policy it is, or any other name. */
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
  readonly claims: readonly Step<OwnClaim, OwnClaimTable>[]
  readonly resources: readonly Step<ResourceMetadata, ResourceTable>[]
  readonly clients: readonly Step<ClientMetadata, ClientTable>[]
  readonly issuers: readonly Step<TrustedIssuerMetadata, TrustedIssuerTable>[]
  readonly groups: readonly Step<GroupMetadata, GroupTable>[]
  readonly users: readonly Step<DeclaredUser, UserTable>[]
  readonly streams: readonly Step<DeclaredStream, StreamTable>[]
  /** That of the keys, where something of it is declared. */
  readonly policies: readonly Step<PolicyChange | undefined, never>[]
}

/** All steps of a plan. */
export function stepsOf(plan: Plan): readonly Step[] {
  const { claims, resources, clients, issuers, groups, users, streams, policies } = plan
  return [...claims, ...resources, ...clients, ...issuers, ...groups, ...users, ...streams, ...policies]
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
  const uris = new Set([...foundResources.keys(), ...resources.map(({ uri }) => uri)])
  const foundClients = new Map((await listClients(db)).map(row => [row.id, row]))

  const planned = await planPeople(admin, declaration, uris)
  const ofClaims = await planClaims(admin, declaration, { resources: foundResources, clients: foundClients })
  const own = ofClaims.after
  const clientsThen = new Map(
    [...foundClients.values()]
      .map(clientMetadata)
      .concat(clients)
      .map(client => [client.client_id, client]),
  )
  const ofIssuers = await planIssuers(admin, declaration.issuers, clientsThen)
  const ofStreams = await planStreams(admin, declaration.streams, clientsThen)
  const refusals = [ofClaims, planned, ofIssuers, ofStreams].flatMap(({ problems }) => problems)
  const plan = {
    claims: stepsOfKind('claim', ofClaims.claims),
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
      refuseOwnClient(id)
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
    issuers: stepsOfKind('issuer', ofIssuers.issuers),
    groups: planned.groups,
    users: planned.users,
    streams: stepsOfKind('stream', ofStreams.streams),
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
    groups: stepsOfKind('group', ofGroups.groups),
    users: stepsOfKind('user', ofUsers.users),
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
  const way = declared.federated
    ? `\`mintmark client update ${id} --federated\` has it do so`
    : '`mintmark client set-keys` and `rotate-secret` let the old one work for a while'
  return [
    `${id}: it would authenticate with ${authMethodOf(declared)} instead of ${authMethodOf(found)}: ${way}`,
  ]
}

/** The steps for what was planned apart, of which there is nothing to know. */
function stepsOfKind<Kind extends Step['kind'], Planned extends Pick<Step, 'found' | 'differences'>>(
  kind: Kind,
  planned: readonly Planned[],
) {
  const none: Step['warnings'] = []
  return planned.map(one => ({ kind, warnings: none, ...one, action: actionOf(one) }))
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
