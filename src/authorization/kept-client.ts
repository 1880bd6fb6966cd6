import type { ClientTable, UserTable } from '../../db/schema.ts'
import { keepDocumentClient, type KeptClient } from '../../db/clients/open-clients.ts'
import { documentColumns } from '../clients/client-document.ts'
import { untilAllKnow, type Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import type { RequestOrigin } from '../record/actor.ts'
import type { Event } from '../record/events.ts'
import { byUser, record } from '../record/record.ts'

/** So many clients that no administrator has made may have access to one account. */
const clientsMax = 100

/**
 * The client that a user is about to allow something, with the row without which it can have no session. One
 * that is known by a document gets it now, and each later change of the document: so strangers cost none.
 * Undefined where the user has allowed as many of these something as anybody may.
 */
export async function keptClient(
  ctx: Context,
  client: Client,
  { user, caller }: { readonly user: Pick<UserTable, 'id'>; readonly caller: RequestOrigin },
): Promise<Client | undefined> {
  if (client.made_by !== 'document') return client
  const { epoch: _, resources, scope, ...row } = client
  const columns = documentColumns(client)
  const kept = await record(
    byUser(ctx, user.id, caller),
    (kept: KeptClient) => eventsOf(kept, columns),
    db =>
      keepDocumentClient(db, { ...row, resources: '', scope: '', created_at: ctx.clock.now() }, columns, {
        userId: user.id,
        clientsMax,
      }),
  )
  if (!kept) throw unavailable(new Error('a client of another kind has the URL of a document as its id'))
  if (kept.kind === 'too_many') return undefined
  if (kept.kind !== 'same') await untilAllKnow(ctx)
  return { ...kept.client, resources, scope }
}

function eventsOf(kept: KeptClient, columns: Partial<ClientTable>): readonly Event[] {
  if (kept.kind === 'too_many' || kept.kind === 'same') return []
  const { id: clientId } = kept.client
  return kept.kind === 'changed'
    ? [{ event: 'client_changed', clientId, detail: kept.changes }]
    : [{ event: 'client_created', clientId, detail: { made_by: 'document', ...columns } }]
}
