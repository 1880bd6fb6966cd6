import { changePolicyRow, raiseRevision, type KeyPolicyChange } from '../installation/installation.ts'
import { addStream, updateStream } from '../push/streams.ts'
import type { GroupTable, OwnClaimTable, StreamTable, TrustedIssuerTable } from '../schema.ts'
import { addGroup, updateGroup } from '../users/groups.ts'
import { changeUserRow, type ChangedUser, type SeenUser } from '../users/users.ts'
import type { Writer } from '../writer.ts'
import { addClients, updateClient, type ClientSettings, type NewClient, type SeenClient } from './clients.ts'
import {
  addResources,
  updateResource,
  type NewResource,
  type ResourceSettings,
  type SeenResource,
} from './resources.ts'
import { addOwnClaim, updateOwnClaim, type OwnClaimSettings } from './own-claims.ts'
import { addTrustedIssuer, updateTrustedIssuer, type TrustedIssuerSettings } from './trusted-issuers.ts'

/** A change of a row that is as it was read. */
export interface RowChange<Settings, Seen> {
  readonly seen: Seen
  readonly settings: Partial<Settings>
}

export interface GroupChanges {
  readonly added: readonly GroupTable[]
  readonly changed: ReadonlyMap<string, RowChange<Pick<GroupTable, 'roles'>, GroupTable>>
  /** How many there may be. */
  readonly groupsMax: number
}

export interface OwnClaimChanges {
  readonly added: readonly OwnClaimTable[]
  readonly changed: ReadonlyMap<string, RowChange<OwnClaimSettings, OwnClaimTable>>
  /** How many there may be. */
  readonly claimsMax: number
}

export interface StreamChanges {
  readonly added: readonly StreamTable[]
  readonly changed: readonly RowChange<Pick<StreamTable, 'events_requested' | 'description'>, StreamTable>[]
  /** How many a client may have. */
  readonly streamsMax: number
}

export interface TrustedIssuerChanges {
  readonly added: readonly TrustedIssuerTable[]
  readonly changed: ReadonlyMap<string, RowChange<TrustedIssuerSettings, TrustedIssuerTable>>
  /** How many there may be. */
  readonly issuersMax: number
}

/** The additions and changes of a plan. */
export interface Changes {
  readonly claims?: OwnClaimChanges
  readonly newResources: readonly NewResource[]
  readonly newClients: readonly NewClient[]
  readonly resources: ReadonlyMap<string, RowChange<ResourceSettings, SeenResource>>
  readonly clients: ReadonlyMap<string, RowChange<ClientSettings, SeenClient>>
  readonly users?: ReadonlyMap<string, RowChange<ChangedUser, SeenUser>>
  readonly policy?: KeyPolicyChange | undefined
  readonly groups?: GroupChanges
  readonly streams?: StreamChanges
  readonly issuers?: TrustedIssuerChanges
}

/**
 * Makes all changes or, when one of them has lost its ground since the plan was made, none; which it was. In
 * one transaction, however many there are; `onProgress` is told how many are made.
 */
export async function applyChanges(
  { transact }: Writer,
  changes: Changes,
  onProgress: (made: number) => void = () => {},
): Promise<boolean> {
  try {
    await transact(async transaction => {
      await raiseRevision(transaction)
      let made = 0
      const after = (count: number) => onProgress(made + count)
      const each = async (isMade: Promise<boolean>) => {
        if (!(await isMade)) throw new LostGround()
        onProgress(++made)
      }
      const { claims, issuers, groups, users, policy, streams } = changes
      for (const claim of claims?.added ?? [])
        await each(addOwnClaim(transaction, claim, claims?.claimsMax ?? 0))
      for (const { settings, seen } of claims?.changed.values() ?? [])
        await each(updateOwnClaim(transaction, seen, settings))
      if (!(await addResources(transaction, changes.newResources, after))) throw new LostGround()
      made += changes.newResources.length
      for (const [uri, { settings, seen }] of changes.resources)
        await each(updateResource(transaction, uri, settings, seen))
      if (!(await addClients(transaction, changes.newClients, after))) throw new LostGround()
      made += changes.newClients.length
      for (const [id, { settings, seen }] of changes.clients)
        await each(updateClient(transaction, id, settings, seen))
      // Their clients may be new, too.
      for (const stream of streams?.added ?? [])
        await each(addStream(transaction, stream, streams?.streamsMax ?? 0))
      for (const { settings, seen } of streams?.changed ?? [])
        await each(updateStream(transaction, seen, settings))
      // After the clients that they name.
      for (const issuer of issuers?.added ?? [])
        await each(addTrustedIssuer(transaction, issuer, issuers?.issuersMax ?? 0))
      for (const { settings, seen } of issuers?.changed.values() ?? [])
        await each(updateTrustedIssuer(transaction, seen, settings))
      for (const group of groups?.added ?? [])
        await each(addGroup(transaction, group, groups?.groupsMax ?? 0))
      for (const { settings, seen } of groups?.changed.values() ?? [])
        await each(updateGroup(transaction, seen, settings.roles ?? seen.roles))
      for (const { settings, seen } of users?.values() ?? [])
        await each(changeUserRow(transaction, seen, settings))
      if (policy) await each(changePolicyRow(transaction, policy))
      return true
    })
    return true
  } catch (error) {
    if (error instanceof LostGround) return false
    throw error
  }
}

/** Undoes the transaction. */
class LostGround extends Error {}
