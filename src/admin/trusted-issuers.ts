import {
  changeTrustedIssuer,
  deleteTrustedIssuer as deleteTrustedIssuerRow,
  findTrustedIssuer,
  insertTrustedIssuer,
  listTrustedIssuers as listTrustedIssuerRows,
} from '../../db/clients/trusted-issuers.ts'
import type { ClientTable, TrustedIssuerTable } from '../../db/schema.ts'
import { fetchJson } from '../clients/fetch-json.ts'
import { whyNeverNamed } from '../clients/issued-assertions.ts'
import { jwksUriOf } from '../clients/issuer-metadata.ts'
import { reachInto } from '../clients/reach.ts'
import {
  trustedIssuerMetadata,
  trustedIssuerProblems,
  trustedIssuerSettings,
  type TrustedIssuerMetadata,
} from '../clients/trusted-issuer.ts'
import { Refusal } from '../errors.ts'
import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import { nameOf, type TrustedSubject } from '../protocol/trusted-subjects.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { clientToChange } from './clients.ts'
import { differencesOf } from './differences.ts'
import { withUsers } from './named-users.ts'
import { heedPrecondition, movedOn } from './precondition.ts'

/** Servers have all of them in memory. */
export const trustedIssuersMax = 100

/** Trusts an outside issuer to name clients. Refuses what cannot be, and one that is trusted already. */
export async function createTrustedIssuer(
  admin: Admin,
  given: TrustedIssuerMetadata,
): Promise<TrustedIssuerTable> {
  const declared = await judged(admin, given)
  await refuseClients(admin, declared.subjects)
  const { issuer, ...settings } = declared
  const row = newTrustedIssuerRow(declared, admin.clock.now())
  const created = { event: 'trusted_issuer_created', detail: { issuer, ...settings } } as const
  if (!(await record(admin, created, db => insertTrustedIssuer(db, row, trustedIssuersMax)))) {
    throw (await findTrustedIssuer(admin.db, issuer))
      ? new Refusal('conflict', `the issuer ${issuer} is trusted already`, '`mintmark issuer list` shows it')
      : (await listTrustedIssuerRows(admin.db)).length >= trustedIssuersMax
        ? new Refusal('conflict', `there are ${trustedIssuersMax} trusted issuers already`)
        : lostClient()
  }
  return row
}

export function newTrustedIssuerRow(declared: TrustedIssuerMetadata, now: number): TrustedIssuerTable {
  return { issuer: declared.issuer, ...trustedIssuerSettings(declared), created_at: now }
}

/** The settings to change; those that are undefined stay. */
export type TrustedIssuerChanges = {
  readonly [Name in Exclude<keyof TrustedIssuerMetadata, 'issuer'>]?: TrustedIssuerMetadata[Name] | undefined
}

export interface ChangedTrustedIssuer {
  readonly issuer: TrustedIssuerTable
  readonly differences: Changes
}

/**
 * Changes what an issuer is trusted for, from the next assertion on. Refuses it to administrators who may not
 * change a client that it names, or is to name.
 */
export async function updateTrustedIssuer(
  admin: Admin,
  issuer: string,
  changesOf: TrustedIssuerChanges | ((before: TrustedIssuerMetadata) => TrustedIssuerChanges),
): Promise<ChangedTrustedIssuer> {
  const found = await existingTrustedIssuer(admin, issuer)
  const before = trustedIssuerMetadata(found)
  const changes = typeof changesOf === 'function' ? changesOf(before) : changesOf
  const given = Object.entries(changes).filter(([, value]) => value !== undefined)
  const after = await judged(admin, { ...before, ...Object.fromEntries(given) }, before.subjects)
  await refuseClients(admin, after.subjects, before.subjects)
  const differences = differencesOf(before, after)
  if (Object.keys(differences).length === 0) return { issuer: found, differences }
  const settings = trustedIssuerSettings(after)
  const changed = { event: 'trusted_issuer_changed', detail: { issuer, ...differences } } as const
  if (!(await record(admin, changed, db => changeTrustedIssuer(db, found, settings))))
    throw await whyLost(admin, issuer)
  return { issuer: { ...found, ...settings }, differences }
}

/** Trusts an issuer no more. Tokens that it has led to run out by themselves. */
export async function deleteTrustedIssuer(admin: Admin, issuer: string): Promise<TrustedIssuerTable> {
  const found = await existingTrustedIssuer(admin, issuer)
  await refuseClients(admin, [], trustedIssuerMetadata(found).subjects)
  const deleted = { event: 'trusted_issuer_deleted', detail: { issuer } } as const
  if (!(await record(admin, deleted, db => deleteTrustedIssuerRow(db, found))))
    throw await whyLost(admin, issuer)
  return found
}

/** All trusted issuers, in the order of their URLs. */
export async function listTrustedIssuers({ db }: Pick<Admin, 'db'>): Promise<readonly TrustedIssuerTable[]> {
  return listTrustedIssuerRows(db)
}

/** The issuer of this URL. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingTrustedIssuer(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  issuer: string,
): Promise<TrustedIssuerTable> {
  const found = await findTrustedIssuer(db, issuer)
  if (!found) throw noIssuer(issuer)
  heedPrecondition({ precondition }, () => describeTrustedIssuer(found))
  return found
}

/** The document of a trusted issuer. */
export function describeTrustedIssuer(row: TrustedIssuerTable) {
  return { ...trustedIssuerMetadata(row), created_at: row.created_at }
}

/** The issuer with its users by their `sub`. Refuses what cannot be. */
async function judged(
  { db, config }: Admin,
  declared: TrustedIssuerMetadata,
  before: readonly TrustedSubject[] = [],
): Promise<TrustedIssuerMetadata> {
  const { subjects, problems: ofUsers } = await withUsers(db, declared.subjects, before)
  const problems = [...trustedIssuerProblems(declared, config.issuer), ...ofUsers]
  if (problems.length > 0) throw new Refusal('invalid', problems.join('\n'))
  return { ...declared, subjects }
}

/**
 * Refuses subjects of no client, of one that none may name, or of one that is not this administrator's; and
 * those that name users, unless the administrator may do everything.
 */
async function refuseClients(
  admin: Admin,
  after: readonly TrustedSubject[],
  before: readonly TrustedSubject[] = [],
): Promise<void> {
  if ([...before, ...after].some(({ user }) => user !== null)) refuseUsersUnlessUnlimited(admin)
  const named = new Set(after.map(({ client }) => client))
  for (const id of new Set([...named, ...before.map(({ client }) => client)])) {
    const client = await clientToChange({ ...admin, precondition: undefined }, id)
    const problem = named.has(id) ? clientProblem(client) : undefined
    if (problem !== undefined) throw new Refusal('invalid', problem, undefined, 'subjects')
  }
}

/** Refuses subjects that name users to administrators who may not do everything. */
export function refuseUsersUnlessUnlimited({ isLimited }: Pick<Admin, 'isLimited'>): void {
  if (!isLimited) return
  const text = 'who acts in the name of users is changed with the scope admin:write alone'
  throw new Refusal('forbidden', text, undefined, 'subjects')
}

/** Why no issuer can name this client; undefined if one can. */
export function clientProblem(
  client: Pick<ClientTable, 'id' | 'auth_method' | 'profile'>,
): string | undefined {
  const fault = whyNeverNamed(client)
  return fault === undefined ? undefined : `no issuer can name the client ${client.id}, which ${fault}`
}

/** What to know of an issuer, beside what it is. */
export function trustedIssuerWarnings({ audience, subjects }: TrustedIssuerMetadata): readonly string[] {
  return [
    ...(subjects.length === 0 ? ['it names nobody yet: `mintmark issuer trust` says whom it may'] : []),
    ...(audience === null
      ? []
      : [
          `whatever else takes assertions for ${audience} could use them here: that should be this server alone`,
        ]),
    ...subjects
      .filter(({ subject_pattern: pattern }) => pattern !== null)
      .map(
        subject => `whoever has a subject like ${nameOf(subject)} at this issuer can be ${subject.client}`,
      ),
  ]
}

/** How long a look at the keys may take. */
const fetchSeconds = 5

/**
 * Looks at the keys of an issuer now: what is wrong with them, undefined if nothing is. The server looks by
 * itself, again and again.
 */
export async function keyFaultOf(
  { config }: Pick<Admin, 'config'>,
  { issuer, jwks, jwks_uri: uri }: Pick<TrustedIssuerMetadata, 'issuer' | 'jwks' | 'jwks_uri'>,
): Promise<string | undefined> {
  if (jwks !== null) return undefined
  try {
    const reach = reachInto('JWKS_URI_NETWORKS', config.jwksUriNetworks, fetchSeconds)
    const read = readClientJwks(await fetchJson(uri ?? (await jwksUriOf(issuer, reach)), reach))
    if (!read) return 'the answer is no JWK Set'
    return read.keys.length === 0 ? ['it has no usable key', ...read.problems].join('; ') : undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Why a change of an issuer has changed nothing. */
async function whyLost(admin: Admin, issuer: string): Promise<Refusal> {
  return (await findTrustedIssuer(admin.db, issuer))
    ? movedOn(admin, `the issuer ${issuer}`)
    : noIssuer(issuer)
}

const lostClient = () =>
  new Refusal('conflict', 'a client that it names was deleted just now', 'nothing was changed, run it again')

const noIssuer = (issuer: string) =>
  new Refusal('not_found', `there is no trusted issuer ${issuer}`, '`mintmark issuer list` shows all')
