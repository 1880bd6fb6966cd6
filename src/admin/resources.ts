import {
  changeResource,
  deleteResource as deleteResourceRow,
  findResource,
  insertResource,
  listResources as listResourceRows,
  type NewResource,
  type ResourceDeletion,
  type ResourceSettings,
} from '../../db/clients/resources.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import type { ResourceTable } from '../../db/schema.ts'
import { choice, duration, flag, list } from '../clients/property-kinds.ts'
import { detailTypes } from '../clients/detail-type-kind.ts'
import { scopeWords, strayWords, wordsAmong, type ScopeWords } from '../clients/scope-words.ts'
import { wishes } from '../clients/wishes.ts'
import { Refusal } from '../errors.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import { longestTokenSeconds } from '../protocol/access-token.ts'
import { detailTypesProblem, type DetailTypes } from '../protocol/detail-types.ts'
import { isResourceUri, takesResourceUri } from '../protocol/resource.ts'
import { isScopeToken, scopeSentence } from '../protocol/scope.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { itemsOf, cutPage } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { changedColumns, differencesOf } from './differences.ts'
import { describeAlgChange, newAlgWarning, pendingAlgs, type AlgChange } from './pending-algs.ts'
import { refuseOddWishes } from './own-claims.ts'
import { heedPrecondition, movedOn } from './precondition.ts'

/** A resource as it is declared. */
export interface ResourceMetadata {
  readonly uri: string
  readonly scope: readonly string[]
  readonly alg: string
  /** In seconds; null for the server's setting. */
  readonly access_token_ttl: number | null
  /** Whether its tokens say where their status is listed. */
  readonly status: boolean
  /** What people are told that its scopes mean; those that have no words are shown by their names. */
  readonly scope_words: ScopeWords
  /** The claims that its tokens have beside those of every token; null for `roles`, where there are any. */
  readonly claims: readonly string[] | null
  /** Whether clients that no administrator has made may ask people for tokens for it. */
  readonly open: boolean
  /** Whether personal access tokens are taken for it. */
  readonly personal_access_tokens: boolean
  /** What details clients may ask for at it (RFC 9396), by their types. */
  readonly authorization_details_types: DetailTypes
}

/** The JWS algorithms that a resource may choose from. */
export const algs = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'] as const

/** The forms of all that is declared of a resource beside its URI. */
export const resourceKinds = {
  scope: list(isScopeToken, {
    takes: 'scopes: visible ASCII without quotes and backslashes',
    sentence: scopeSentence,
  }),
  alg: choice(algs, 'ES256'),
  access_token_ttl: duration(10, longestTokenSeconds),
  status: { ...flag, fallback: true },
  scope_words: scopeWords,
  claims: wishes,
  open: flag,
  personal_access_tokens: flag,
  authorization_details_types: detailTypes,
}

export interface ResourceOutcome {
  /** A sentence about the algorithm, where the key set gets a new one. */
  readonly warning: string | undefined
  /** When its own algorithm begins to sign; undefined where it does already. */
  readonly algChange: AlgChange | undefined
}

export interface CreatedResource extends ResourceOutcome {
  readonly resource: DescribedResource
}

/** Adds a resource. Refuses the issuer's own URI, and one that is there already. */
export async function createResource(admin: Admin, declared: ResourceMetadata): Promise<CreatedResource> {
  const { uri, alg } = declared
  if (!isResourceUri(uri)) throw new Refusal('invalid', `uri takes ${takesResourceUri}`, undefined, 'uri')
  refuseStrayWords(declared)
  refuseOddTypes(declared)
  await refuseOddWishes(admin, declared.claims)
  const warning = newAlgWarning(alg, await listUsedAlgs(admin.db))
  if (uri === admin.config.issuer) {
    throw new Refusal(
      'invalid',
      'the issuer itself is the audience of tokens for no particular resource',
      'name another URI',
    )
  }
  const row = newResourceRow(declared, admin.clock.now())
  const { previous_alg: _, ...resource } = row
  const created = { event: 'resource_created', detail: describeResource(resource) } as const
  if (!(await record(admin, created, db => insertResource(db, row)))) {
    throw new Refusal('conflict', `the resource ${uri} exists already`, '`mintmark resource list` shows it')
  }
  return { resource, warning, algChange: (await pendingAlgs(admin)).get(uri) }
}

/**
 * The settings to change; those that are undefined stay, and so do the words of scopes that get no others.
 * Empty words are taken away.
 */
export type ResourceChanges = {
  readonly [Name in Exclude<keyof ResourceMetadata, 'uri'>]?: ResourceMetadata[Name] | undefined
}

export interface UpdatedResource extends ResourceOutcome {
  /** As it is now. */
  readonly resource: DescribedResource
  readonly differences: Changes
}

/** Changes the settings of a resource. Refuses one that somebody else has just changed. */
export async function updateResource(
  admin: Admin,
  uri: string,
  { scope, scope_words, alg, access_token_ttl, status, claims, ...more }: ResourceChanges,
): Promise<UpdatedResource> {
  const found = await existingResource(admin, uri)
  const before = resourceMetadata(found)
  refuseStrayWords({ scope: scope ?? before.scope, scope_words: scope_words ?? {} })
  refuseOddTypes(more)
  if (claims) await refuseOddWishes(admin, claims)
  const after: ResourceMetadata = {
    uri,
    scope: scope ?? before.scope,
    alg: alg ?? before.alg,
    access_token_ttl: access_token_ttl === undefined ? before.access_token_ttl : access_token_ttl,
    status: status ?? before.status,
    claims: claims === undefined ? before.claims : claims,
    open: more.open ?? before.open,
    personal_access_tokens: more.personal_access_tokens ?? before.personal_access_tokens,
    scope_words: changedWords(scope ?? before.scope, { ...before.scope_words, ...scope_words }),
    authorization_details_types: more.authorization_details_types ?? before.authorization_details_types,
  }
  const warning = newAlgWarning(after.alg, await listUsedAlgs(admin.db))
  const settings = changedColumns(resourceSettings(before), resourceSettings(after))
  const differences = differencesOf(before, after)
  if (Object.keys(settings).length > 0) {
    const changed = { event: 'resource_changed', detail: { uri, ...differences } } as const
    const isChanged = await record(admin, changed, db => changeResource(db, uri, settings, found))
    if (!isChanged) throw await lostResource(admin, uri)
  }
  const resource = await existingResource({ db: admin.db }, uri)
  return { resource, differences, warning, algChange: (await pendingAlgs(admin)).get(uri) }
}

function refuseStrayWords(resource: Pick<ResourceMetadata, 'scope' | 'scope_words'>): void {
  const stray = strayWords(resource)
  if (stray !== undefined) throw new Refusal('invalid', stray, undefined, 'scope_words')
}

function refuseOddTypes({
  authorization_details_types: types,
}: Pick<ResourceChanges, 'authorization_details_types'>): void {
  const problem = types && detailTypesProblem(types)
  if (problem !== undefined) throw new Refusal('invalid', problem, undefined, 'authorization_details_types')
}

function changedWords(scope: readonly string[], words: ScopeWords): ScopeWords {
  return wordsAmong(
    scope.filter(name => words[name] !== ''),
    words,
  )
}

/** All resources, in the order of their URIs. */
export async function listResources({ db }: Admin): Promise<readonly ResourceTable[]> {
  return listResourceRows(db)
}

/** One page of resources, and the URI after which the next one begins; undefined after the last. */
export async function pageOfResources(
  { db }: Pick<Admin, 'db'>,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<{ readonly resources: readonly ResourceTable[]; readonly next: string | undefined }> {
  const { page, last } = cutPage(await listResourceRows(db, { after, limit: limit + 1 }), limit)
  return { resources: page, next: last?.uri }
}

export interface DeletedResource {
  /** As it was. */
  readonly resource: ResourceTable
  /** The ids of the clients that it was taken from. */
  readonly takenFrom: readonly string[]
}

/**
 * Deletes a resource. Refuses one that clients use; with `force`, takes it from them. Its tokens run out by
 * themselves.
 */
export async function deleteResource(
  admin: Admin,
  uri: string,
  options: { readonly force: boolean },
): Promise<DeletedResource> {
  const resource = await existingResource(admin, uri)
  const { kind, clients } = await record(
    admin,
    (deletion: ResourceDeletion) =>
      deletion.kind === 'deleted' ? [{ event: 'resource_deleted', detail: { uri } }] : [],
    db => deleteResourceRow(db, uri, { ...options, seen: admin.precondition === undefined ? {} : resource }),
  )
  if (kind === 'changed') throw await lostResource(admin, uri)
  if (kind === 'unknown') throw noResource(uri)
  if (kind === 'used') {
    throw new Refusal(
      'conflict',
      `${uri} is used by ${clients.join(', ')}`,
      '--force takes it from them and deletes it',
    )
  }
  return { resource, takenFrom: clients }
}

/** The columns that a document shows; in a list, also the algorithm that signs in the meantime. */
type DescribedResource = Omit<NewResource, 'previous_alg'> & Partial<Pick<ResourceTable, 'previous_alg'>>

/** The document of a resource, with its change of algorithms if one is under way. */
export function describeResource(row: DescribedResource, algChange?: AlgChange) {
  const { uri, scope, scope_words, access_token_seconds, has_status, claims, ...rest } = row
  const { is_open, personal_access_tokens, authorization_details_types, ...resource } = rest
  return {
    uri,
    scope: itemsOf(scope),
    ...resource,
    access_token_ttl: access_token_seconds,
    status: has_status === 1,
    scope_words: scopeWords.fromColumn(scope_words),
    claims: wishes.fromColumn(claims ?? null),
    open: is_open === 1,
    personal_access_tokens: personal_access_tokens === 1,
    authorization_details_types: detailTypes.fromColumn(authorization_details_types ?? '{}'),
    ...describeAlgChange(algChange),
  }
}

/** The row of a new resource. Until its own algorithm may sign, the default one does. */
export function newResourceRow(declared: ResourceMetadata, now: number): NewResource {
  return { uri: declared.uri, ...resourceSettings(declared), previous_alg: defaultAlg, created_at: now }
}

/** A declared resource, as columns of its row. */
export function resourceSettings(resource: Omit<ResourceMetadata, 'uri'>): ResourceSettings {
  return {
    scope: resource.scope.join(' '),
    scope_words: scopeWords.toColumn(wordsAmong(resource.scope, resource.scope_words)),
    alg: resource.alg,
    access_token_seconds: resource.access_token_ttl,
    has_status: resource.status ? 1 : 0,
    claims: wishes.toColumn(resource.claims),
    is_open: flag.toColumn(resource.open),
    personal_access_tokens: flag.toColumn(resource.personal_access_tokens),
    authorization_details_types: detailTypes.toColumn(resource.authorization_details_types),
  }
}

/** The resource that a row declares. */
export function resourceMetadata(row: ResourceTable): ResourceMetadata {
  return {
    uri: row.uri,
    scope: itemsOf(row.scope),
    alg: row.alg,
    access_token_ttl: row.access_token_seconds,
    status: row.has_status === 1,
    scope_words: scopeWords.fromColumn(row.scope_words),
    claims: wishes.fromColumn(row.claims),
    open: flag.fromColumn(row.is_open),
    personal_access_tokens: flag.fromColumn(row.personal_access_tokens),
    authorization_details_types: detailTypes.fromColumn(row.authorization_details_types),
  }
}

/** The resource of this URI. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingResource(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  uri: string,
): Promise<ResourceTable> {
  const found = await findResource(db, uri)
  if (!found) throw noResource(uri)
  heedPrecondition({ precondition }, () => describeResource(found))
  return found
}

/** Why a resource could not be changed. */
async function lostResource(admin: Admin, uri: string): Promise<Refusal> {
  return (await findResource(admin.db, uri)) ? movedOn(admin, uri) : noResource(uri)
}

const noResource = (uri: string) =>
  new Refusal('not_found', `there is no resource ${uri}`, '`mintmark resource list` shows all')
