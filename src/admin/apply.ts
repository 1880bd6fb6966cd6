import { applyChanges } from '../../db/clients/declaration.ts'
import { authMethodOf } from '../clients/judge-client.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { clientSettings, newClientRow } from '../clients/registration.ts'
import { trustedIssuerSettings } from '../clients/trusted-issuer.ts'
import { Refusal } from '../errors.ts'
import { rolesColumn } from '../protocol/roles.ts'
import { hashSecret, newClientSecret } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { record } from '../record/record.ts'
import { changeOf, creationOf, newStreamRow, streamsMax, type NewStream } from '../streams/streams.ts'
import { eventTypes } from '../protocol/security-events.ts'
import type { Admin } from './admin.ts'
import { allGroupsMax, newGroupRow } from './groups.ts'
import { newOwnClaimRow, ownClaimsMax } from './own-claims.ts'
import { pendingAlgs, pendingClientAlgs, type AlgChange } from './pending-algs.ts'
import { dueSteps, type Plan, type Step } from './plan.ts'
import { logPolicy } from './policy.ts'
import type { DeclaredStream } from './planned-streams.ts'
import { newResourceRow, resourceSettings } from './resources.ts'
import { newTrustedIssuerRow, trustedIssuersMax } from './trusted-issuers.ts'

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
  const claims = Object.groupBy(plan.claims, ({ action }) => action)
  const { create: newClients = [], change: changedClients = [] } = clients
  const policy = plan.policies[0]?.declared
  const streams = Object.groupBy(plan.streams, ({ action }) => action)
  const newStreams = (streams.create ?? []).map(({ declared }) => newStreamRow(admin, newStreamOf(declared)))
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
    claims: {
      added: (claims.create ?? []).map(({ declared }) => newOwnClaimRow(declared, now)),
      changed: changesOf(claims.change ?? [], ({ kind, source }) => ({
        kind,
        source: JSON.stringify(source),
      })),
      claimsMax: ownClaimsMax,
    },
    newResources: newResources.map(({ declared }) => newResourceRow(declared, now)),
    newClients: newClients.map(({ name, declared }) =>
      newClientRow(declared, { secretHash: secretHashOf(name), now }),
    ),
    resources: changesOf(changedResources, resourceSettings),
    clients: changesOf(changedClients, (declared, differences) => ({
      ...clientSettings(declared),
      ...(credentials.some(name => name in differences) && { credentials_set_at: now }),
    })),
    issuers: issuerChanges(plan.issuers, now),
    groups: {
      added: (groups.create ?? []).map(({ declared }) => newGroupRow(declared, now)),
      changed: changesOf(groups.change ?? [], ({ roles }) => ({ roles: rolesColumn(roles) })),
      groupsMax: allGroupsMax,
    },
    users: changesOf(
      plan.users.filter(({ action }) => action === 'change'),
      ({ roles }) => ({ roles: rolesColumn(roles) }),
    ),
    streams: {
      added: newStreams,
      changed: [...changesOf(streams.change ?? [], streamSettings).values()],
      streamsMax,
    },
    policy: policy && { from: policy.from.policy, to: policy.to.policy, now },
  }
  const events = () => [...eventsOf(plan), ...newStreams.map(creationOf)]
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

function issuerChanges(issuers: Plan['issuers'], now: number) {
  const { create = [], change = [] } = Object.groupBy(issuers, ({ action }) => action)
  return {
    added: create.map(({ declared }) => newTrustedIssuerRow(declared, now)),
    changed: changesOf(change, trustedIssuerSettings),
    issuersMax: trustedIssuersMax,
  }
}

const eventUris = ({ events }: DeclaredStream) => events && events.map(name => eventTypes[name])

function newStreamOf(declared: DeclaredStream): NewStream {
  const { client_id: clientId, push, audience, subjects, description } = declared
  return {
    clientId,
    audience: audience ?? clientId,
    defaultSubjects: subjects,
    delivery: push === null ? { method: 'poll' } : { method: 'push', endpointUrl: push, authorization: null },
    eventsRequested: eventUris(declared),
    description,
  }
}

/** The rest of a stream stays as it was made. */
function streamSettings(declared: DeclaredStream) {
  return { events_requested: eventUris(declared)?.join(' ') ?? null, description: declared.description }
}

/** A client is known by these. */
const credentials: readonly (keyof ClientMetadata)[] = [
  'jwks',
  'jwks_uri',
  'federated',
  'tls_subject',
  'tls_self_signed',
]

/** By their names, the settings of what is changed, with the rows on which the plan was made. */
function changesOf<Declared, Row extends object, Settings>(
  steps: readonly Step<Declared, Row>[],
  settingsOf: (declared: Declared, differences: Step['differences']) => Settings,
) {
  return new Map(
    steps.flatMap(({ name, declared, found: seen, differences }) =>
      seen ? [[name, { seen, settings: settingsOf(declared, differences) }] as const] : [],
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

function eventsOf(plan: Plan): readonly Event[] {
  const { claims, resources, clients, issuers, groups, users, streams, policies } = plan
  const isDue = ({ action }: Step) => action !== 'none'
  return [
    ...claims.filter(isDue).map(({ name: claim, action, declared: { kind, source }, differences }): Event => {
      if (action === 'create') return { event: 'claim_created', detail: { claim, kind, source } }
      return { event: 'claim_changed', detail: { claim, ...differences } }
    }),
    ...[...resources, ...clients].filter(isDue).map(eventOf),
    ...issuers.filter(isDue).map(({ name: issuer, action, differences }): Event => {
      const event = action === 'create' ? 'trusted_issuer_created' : 'trusted_issuer_changed'
      return { event, detail: { issuer, ...differences } }
    }),
    ...groups.filter(isDue).map(({ name: group, action, declared, differences: { roles } }): Event => {
      if (action === 'create') return { event: 'group_created', detail: { group, roles: declared.roles } }
      return { event: 'group_changed', detail: { group, ...(roles && { roles }) } }
    }),
    ...users.filter(isDue).map(({ found, differences: { roles } }): Event => {
      if (!found) throw new Error('unreachable: no user is made')
      return { event: 'user_changed', userId: found.id, detail: { ...(roles && { roles }) } }
    }),
    // New ones are told of by their rows, which have their ids.
    ...streams
      .filter(isDue)
      .flatMap(({ found, differences }) => (found ? [changeOf(found, differences)] : [])),
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
