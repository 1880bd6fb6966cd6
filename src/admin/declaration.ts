import { withDefaults } from '../clients/client-defaults.ts'
import { propertyNames, someProperties, type ClientMetadata } from '../clients/properties.ts'
import { choice, duration, type JsonKind } from '../clients/property-kinds.ts'
import { scopeWords, strayWords, wordsAmong } from '../clients/scope-words.ts'
import {
  isTrustedIssuerUrl,
  takesTrustedIssuer,
  trustedIssuerKinds,
  type TrustedIssuerMetadata,
} from '../clients/trusted-issuer.ts'
import { Refusal } from '../errors.ts'
import { keyPolicyLimits } from '../protocol/key-lead.ts'
import {
  isClaimName,
  ownClaimKinds,
  readSource,
  takesClaimName,
  type ClaimSource,
  type OwnClaim,
} from '../protocol/own-claims.ts'
import { detailTypesProblem } from '../protocol/detail-types.ts'
import { isResourceUri, takesResourceUri } from '../protocol/resource.ts'
import { isGroupName, takesGroupName } from '../protocol/roles.ts'
import { isObject } from '../values/json.ts'
import { nearestName } from '../values/suggestion.ts'
import { streamKinds, streamName, type DeclaredStream } from './planned-streams.ts'
import type { PolicySettings } from './policy.ts'
import { resourceKinds, type ResourceMetadata } from './resources.ts'
import { roleList, type GroupMetadata } from './roles.ts'
import { parseYaml } from './yaml.ts'

/** The content of a file for `mintmark apply`. */
export interface Declaration {
  readonly claims: readonly OwnClaim[]
  readonly resources: readonly ResourceMetadata[]
  readonly clients: readonly ClientMetadata[]
  readonly issuers: readonly TrustedIssuerMetadata[]
  readonly groups: readonly GroupMetadata[]
  readonly users: readonly DeclaredUser[]
  readonly streams: readonly DeclaredStream[]
  /** Of the key ring; a setting that is left out stays. */
  readonly keyPolicy: PolicySettings
}

/** A user who is there, by a name to log in with. */
export interface DeclaredUser {
  readonly username: string
  readonly roles: readonly string[]
}

/** Reads a YAML or JSON text, which refusals call `name`. Refuses one that is not valid, with all reasons. */
export async function parseDeclaration(name: string, text: string): Promise<Declaration> {
  const { declaration, problems } = readDeclaration(await parseYaml(name, text))
  if (problems.length > 0) throw new Refusal('invalid', [`${name} is not valid:`, ...problems].join('\n- '))
  return declaration
}

/**
 * Reads a parsed text. `problems` has everything that is wrong; while there is any, the rest is not to be
 * used.
 */
function readDeclaration(value: unknown): {
  readonly declaration: Declaration
  readonly problems: readonly string[]
} {
  const problems: string[] = []
  const file = fieldsOf(
    value,
    'the file',
    ['claims', 'resources', 'clients', 'issuers', 'groups', 'users', 'streams', 'key_policy'],
    problems,
  )
  const declaration = {
    claims: file.items('claims').map((item, i) => readClaim(item, `claims[${i}]`, problems)),
    resources: file.items('resources').map((item, i) => readResource(item, `resources[${i}]`, problems)),
    clients: file.items('clients').map((item, i) => readClient(item, `clients[${i}]`, problems)),
    issuers: file.items('issuers').map((item, i) => readIssuer(item, `issuers[${i}]`, problems)),
    groups: file.items('groups').map((item, i) => readGroup(item, `groups[${i}]`, problems)),
    users: file.items('users').map((item, i) => readUser(item, `users[${i}]`, problems)),
    streams: file.items('streams').map((item, i) => readStream(item, `streams[${i}]`, problems)),
    keyPolicy: readKeyPolicy(file.get('key_policy') ?? {}, problems),
  }
  const { claims, resources, clients, issuers, groups, users, streams } = declaration
  const names = {
    claim: claims.map(({ name }) => name),
    resource: resources.map(({ uri }) => uri),
    client: clients.map(({ client_id }) => client_id),
    issuer: issuers.map(({ issuer }) => issuer),
    group: groups.map(({ name }) => name),
    user: users.map(({ username }) => username),
    stream: streams.filter(({ client_id: id }) => id !== '').map(streamName),
  }
  problems.push(...Object.entries(names).flatMap(([what, declared]) => findRepeats(what, declared)))
  return { declaration, problems }
}

/** Reads the form of the values. `ownClaimProblems` judges the values themselves. */
function readClaim(value: unknown, path: string, problems: string[]): OwnClaim {
  const fields = fieldsOf(value, path, ['name', 'kind', 'source'], problems)
  return {
    name: fields.text('name', isClaimName, takesClaimName),
    kind: fields.required('kind', claimKind),
    source: fields.required('source', claimSource),
  }
}

const claimKind = choice(ownClaimKinds, 'string')

const claimSource: JsonKind<ClaimSource> = {
  fallback: { constant: '' },
  takes: 'an object with one of user, constant, roles and groups',
  schema: {},
  fromFile: readSource,
}

function readResource(value: unknown, path: string, problems: string[]): ResourceMetadata {
  const { alg, access_token_ttl, status } = resourceKinds
  const fields = fieldsOf(value, path, ['uri', ...Object.keys(resourceKinds)], problems)
  const uri = fields.text('uri', isResourceUri, takesResourceUri)
  const scope = fields.optional('scope', resourceKinds.scope)
  const words = fields.optional('scope_words', scopeWords)
  const stray = strayWords({ scope, scope_words: words })
  if (stray !== undefined) problems.push(`${path}.${stray}`)
  const types = fields.optional('authorization_details_types', resourceKinds.authorization_details_types)
  const oddType = detailTypesProblem(types)
  if (oddType !== undefined) problems.push(`${path}.${oddType}`)
  return {
    uri,
    scope,
    alg: fields.optional('alg', alg),
    access_token_ttl: fields.optional('access_token_ttl', access_token_ttl),
    status: fields.optional('status', status),
    scope_words: wordsAmong(scope, words),
    claims: fields.optional('claims', resourceKinds.claims),
    open: fields.optional('open', resourceKinds.open),
    personal_access_tokens: fields.optional('personal_access_tokens', resourceKinds.personal_access_tokens),
    authorization_details_types: types,
  }
}

/** Reads the form of the values. `judgeClient` judges the values themselves, with the whole client. */
function readClient(value: unknown, path: string, problems: string[]): ClientMetadata {
  const fields = fieldsOf(value, path, ['client_id', ...propertyNames], problems)
  return {
    client_id: fields.text('client_id', text => text !== '', 'a client_id'),
    ...withDefaults(someProperties((name, { kind }) => fields.declared(name, kind))),
  }
}

/** Reads the form of the values. `trustedIssuerProblems` judges the values themselves. */
function readIssuer(value: unknown, path: string, problems: string[]): TrustedIssuerMetadata {
  const { audience, jwks, jwks_uri, max_life, reusable, subjects } = trustedIssuerKinds
  const { text, optional } = fieldsOf(value, path, ['issuer', ...Object.keys(trustedIssuerKinds)], problems)
  return {
    issuer: text('issuer', isTrustedIssuerUrl, takesTrustedIssuer),
    audience: optional('audience', audience),
    jwks: optional('jwks', jwks),
    jwks_uri: optional('jwks_uri', jwks_uri),
    max_life: optional('max_life', max_life),
    reusable: optional('reusable', reusable),
    subjects: optional('subjects', subjects),
  }
}

function readGroup(value: unknown, path: string, problems: string[]): GroupMetadata {
  const fields = fieldsOf(value, path, ['name', 'roles'], problems)
  return {
    name: fields.text('name', isGroupName, takesGroupName),
    roles: fields.optional('roles', roleList),
  }
}

function readUser(value: unknown, path: string, problems: string[]): DeclaredUser {
  const fields = fieldsOf(value, path, ['username', 'roles'], problems)
  return {
    username: fields.text('username', text => text !== '', 'the name of a user').normalize('NFC'),
    roles: fields.required('roles', roleList),
  }
}

/** Reads the form of the values. `planStreams` judges the values themselves, with their clients. */
function readStream(value: unknown, path: string, problems: string[]): DeclaredStream {
  const fields = fieldsOf(value, path, ['client_id', ...Object.keys(streamKinds)], problems)
  return {
    client_id: fields.text('client_id', text => text !== '', 'a client_id'),
    push: fields.optional('push', streamKinds.push),
    audience: fields.optional('audience', streamKinds.audience),
    subjects: fields.optional('subjects', streamKinds.subjects),
    events: fields.optional('events', streamKinds.events),
    description: fields.optional('description', streamKinds.description),
  }
}

const policyKinds = {
  key_rotation_seconds: duration(...keyPolicyLimits.rotation),
  jwks_max_age_seconds: duration(...keyPolicyLimits.maxAge),
  clock_skew_seconds: duration(...keyPolicyLimits.skew),
}

function readKeyPolicy(value: unknown, problems: string[]): PolicySettings {
  const { optional } = fieldsOf(value, 'key_policy', Object.keys(policyKinds), problems)
  const settings = Object.entries(policyKinds).map(([name, kind]) => [
    name,
    optional(name, kind) ?? undefined,
  ])
  return Object.fromEntries(settings) as PolicySettings
}

/** Reads the fields of one object, and notes what is wrong with them under their path. */
function fieldsOf(value: unknown, path: string, keys: readonly string[], problems: string[]) {
  const isRead = isObject(value)
  const fields = new Map<string, unknown>(isRead ? Object.entries(value) : [])
  if (!isRead) problems.push(`${path} takes an object with ${keys.join(', ')}`)
  for (const key of fields.keys()) {
    if (keys.includes(key)) continue
    const nearest = nearestName(key, keys)
    problems.push(
      `${path} has ${JSON.stringify(key)}, which is not known${nearest ? `; did you mean ${nearest}?` : ''}`,
    )
  }
  const refuse = (key: string, takes: string) => {
    problems.push(`${path}.${key} ${fields.has(key) ? `takes ${takes}` : `is missing: ${takes}`}`)
  }
  /** A value of this kind; undefined where it is not there. */
  const declared = <Value>(
    key: string,
    { fallback, takes, fromFile }: JsonKind<Value>,
  ): Value | undefined => {
    const value = fields.get(key)
    if (value === undefined) return undefined
    const read = fromFile(value)
    if (read === undefined) refuse(key, takes)
    return read ?? fallback
  }
  return {
    declared,
    get: (key: string): unknown => fields.get(key),
    /** A value of this kind that must be there. */
    required: <Value>(key: string, kind: JsonKind<Value>): Value => {
      if (isRead && !fields.has(key)) refuse(key, kind.takes)
      return declared(key, kind) ?? kind.fallback
    },
    items: (key: string): readonly unknown[] => {
      const items = fields.get(key) ?? []
      if (!Array.isArray(items)) refuse(key, 'a list')
      return Array.isArray(items) ? items : []
    },
    /** A text that must be there. */
    text: (key: string, isValid: (text: string) => boolean, takes: string): string => {
      const text = fields.get(key)
      if (typeof text === 'string' && isValid(text)) return text
      if (isRead) refuse(key, takes)
      return ''
    },
    /** A value of this kind; what counts without it, where it is not there. */
    optional: <Value>(key: string, kind: JsonKind<Value>): Value => declared(key, kind) ?? kind.fallback,
  }
}

function findRepeats(what: string, names: readonly string[]): string[] {
  const seen = new Set<string>()
  const repeats = new Set<string>()
  for (const name of names) {
    if (name !== '' && seen.has(name)) repeats.add(name)
    seen.add(name)
  }
  return [...repeats].map(name => `the ${what} ${name} is declared more than once`)
}
