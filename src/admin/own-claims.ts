import { listClients } from '../../db/clients/clients.ts'
import {
  changeOwnClaim,
  deleteOwnClaim,
  findOwnClaim,
  insertOwnClaim,
  listOwnClaims as listOwnClaimRows,
  type OwnClaimDeletion,
} from '../../db/clients/own-claims.ts'
import { listResources } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import type { OwnClaimTable } from '../../db/schema.ts'
import { ownClaimOf, wishProblems } from '../clients/wishes.ts'
import { Refusal } from '../errors.ts'
import { ownClaimProblems, type OwnClaim } from '../protocol/own-claims.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { differencesOf } from './differences.ts'
import { heedPrecondition, movedOn } from './precondition.ts'

/** Servers have all of them in memory. */
export const ownClaimsMax = 200

/** Adds a claim, which is in no token before a resource or a client wants it. Refuses what cannot be one. */
export async function createOwnClaim(admin: Admin, claim: OwnClaim): Promise<OwnClaimTable> {
  refuseOddClaim(claim)
  const { name, kind, source } = claim
  const row = newOwnClaimRow(claim, admin.clock.now())
  const created = { event: 'claim_created', detail: { claim: name, kind, source } } as const
  if (!(await record(admin, created, db => insertOwnClaim(db, row, ownClaimsMax)))) {
    throw (await findOwnClaim(admin.db, name))
      ? new Refusal('conflict', `the claim ${name} exists already`, '`mintmark claim list` shows it')
      : new Refusal('conflict', `there are ${ownClaimsMax} claims already`)
  }
  return row
}

export function newOwnClaimRow({ name, kind, source }: OwnClaim, now: number): OwnClaimTable {
  return { name, kind, source: JSON.stringify(source), created_at: now }
}

/** The new parts of a claim; those that are undefined stay. */
export type OwnClaimChanges = { readonly [Name in 'kind' | 'source']?: OwnClaim[Name] | undefined }

/** Changes a claim, in the next tokens. Refuses it where it became too long for what wants it. */
export async function updateOwnClaim(
  admin: Admin,
  name: string,
  { kind, source }: OwnClaimChanges,
): Promise<{ readonly claim: OwnClaimTable; readonly differences: Changes }> {
  const found = await existingOwnClaim(admin, name)
  const before = ownClaimOf(found)
  const after = { name, kind: kind ?? before.kind, source: source ?? before.source }
  refuseOddClaim(after)
  await refuseTooMuch(admin, after)
  const differences = differencesOf(before, after)
  const claim = { ...found, kind: after.kind, source: JSON.stringify(after.source) }
  if (Object.keys(differences).length === 0) return { claim: found, differences }
  const changed = { event: 'claim_changed', detail: { claim: name, ...differences } } as const
  const change = { kind: claim.kind, source: claim.source }
  if (!(await record(admin, changed, db => changeOwnClaim(db, found, change)))) {
    await existingOwnClaim({ db: admin.db }, name)
    throw movedOn(admin, `the claim ${name}`)
  }
  return { claim, differences }
}

/** Deletes a claim. Refuses one that resources or clients want; with `force`, takes it from them. */
export async function deleteOwnClaimOf(
  admin: Admin,
  name: string,
  options: { readonly force: boolean },
): Promise<readonly string[]> {
  await existingOwnClaim(admin, name)
  const { kind, wantedBy } = await record(
    admin,
    (deletion: OwnClaimDeletion) =>
      deletion.kind === 'deleted' ? [{ event: 'claim_deleted', detail: { claim: name } }] : [],
    db => deleteOwnClaim(db, name, options),
  )
  if (kind === 'unknown') throw noClaim(name)
  if (kind === 'used') {
    const by = wantedBy.join(', ')
    throw new Refusal('conflict', `the claim ${name} is wanted by ${by}`, '--force takes it from them')
  }
  return wantedBy
}

/** All claims of the installation's own, in the order of their names. */
export async function listOwnClaims({ db }: Pick<Admin, 'db'>): Promise<readonly OwnClaimTable[]> {
  return listOwnClaimRows(db)
}

/** The claim of this name. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingOwnClaim(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  name: string,
): Promise<OwnClaimTable> {
  const found = await findOwnClaim(db, name)
  if (!found) throw noClaim(name)
  heedPrecondition({ precondition }, () => describeOwnClaim(found))
  return found
}

/** The document of a claim. */
export function describeOwnClaim(row: OwnClaimTable) {
  return { ...ownClaimOf(row), created_at: row.created_at }
}

/** Refuses claims that are not there, or are too much for one token, to what is to want them. */
export async function refuseOddWishes(
  { db }: Pick<Admin, 'db'>,
  wanted: readonly string[] | null,
): Promise<void> {
  const [problem] = wishProblems(wanted, await ownClaims(db))
  if (problem !== undefined) throw new Refusal('invalid', problem, undefined, 'claims')
}

/** All claims of the installation's own, by their names, as they are now. */
export async function ownClaims(db: Database): Promise<ReadonlyMap<string, OwnClaim>> {
  return new Map((await listOwnClaimRows(db)).map(row => [row.name, ownClaimOf(row)]))
}

function refuseOddClaim(claim: OwnClaim): void {
  const problems = [...ownClaimProblems(claim)]
  if (problems.length > 0) throw new Refusal('invalid', problems.join('; '))
}

async function refuseTooMuch({ db }: Admin, claim: OwnClaim): Promise<void> {
  const own = new Map([...(await ownClaims(db)), [claim.name, claim]])
  const wanting = [...(await listResources(db)), ...(await listClients(db))]
  for (const { claims } of wanting) {
    const [problem] = wishProblems(itemsOf(claims ?? ''), own)
    if (problem !== undefined) throw new Refusal('invalid', problem)
  }
}

const noClaim = (name: string) =>
  new Refusal('not_found', `there is no claim ${name}`, '`mintmark claim list` shows all')
