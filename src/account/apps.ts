import { listConsents, type ListedConsent } from '../../db/users/consents.ts'
import type { Context } from '../context.ts'
import { withdrawConsent } from '../endings/end-sign-ins.ts'
import { byOwner } from '../factors/owner.ts'
import type { Owner } from './owner.ts'

/** What its owner has allowed one client. */
export interface AllowedApp {
  readonly client: ListedConsent
  /** For each resource that was named. */
  readonly consents: readonly ListedConsent[]
}

export async function listApps(
  { db }: Context,
  { user }: Pick<Owner, 'user'>,
): Promise<readonly AllowedApp[]> {
  const ofClient = Map.groupBy(await listConsents(db, user.id), ({ client_id: id }) => id)
  return [...ofClient.values()].flatMap(consents => {
    const [client] = consents
    return client ? [{ client, consents }] : []
  })
}

/** Takes back what was allowed, and ends the owner's sessions through it; false where nothing was allowed. */
export async function withdrawApp(ctx: Context, owner: Owner, clientId: string): Promise<boolean> {
  const client = await ctx.clients.registry.findClient(clientId)
  const name = client?.client_name ?? clientId
  const by = byOwner(ctx, owner, { kind: 'consent_withdrawn', client: name })
  return withdrawConsent(by, { userId: owner.user.id, clientId })
}
