import { changeClient, findClient, insertClient } from '../../db/clients/clients.ts'
import type { ClientTable } from '../../db/schema.ts'
import { consoleClient, consoleClientId } from '../clients/console-client.ts'
import { tokensClientId } from '../clients/tokens-client.ts'
import { clientMetadata, clientSettings } from '../clients/registration.ts'
import { Refusal } from '../errors.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { changedColumns, differencesOf } from './differences.ts'

/**
 * Sees to it that the console is a client, as this server's settings have it. Its row is made when somebody
 * first opens it, and again where it was deleted. `known` is the row that is served.
 */
export async function ensureConsoleClient(
  admin: Pick<Admin, 'db' | 'clock' | 'log' | 'actor' | 'config'>,
  known: ClientTable | undefined,
): Promise<void> {
  const declared = consoleClient(admin.config, known?.created_at ?? admin.clock.now())
  if (known && isAsDeclared(known, declared)) return
  const found = await findClient(admin.db, consoleClientId)
  if (!found) {
    const created = { event: 'client_created', clientId: consoleClientId } as const
    // Another server may be first.
    await record(admin, created, db => insertClient(db, declared))
    return
  }
  if (isAsDeclared(found, declared)) return
  const [before, after] = [clientMetadata(found), clientMetadata(declared)]
  const changed = {
    event: 'client_changed',
    clientId: consoleClientId,
    detail: differencesOf(before, after),
  } as const
  const columns = { ...clientSettings(after), auth_method: declared.auth_method, secret_hash: null }
  await record(admin, changed, db => changeClient(db, consoleClientId, columns, found))
}

function isAsDeclared(row: ClientTable, declared: ReturnType<typeof consoleClient>): boolean {
  const [before, after] = [clientMetadata(row), clientMetadata(declared)]
  const columns = changedColumns(clientSettings(before), clientSettings(after))
  return row.auth_method === declared.auth_method && Object.keys(columns).length === 0
}

/** The clients that the server makes for itself. */
const ownClients: ReadonlyMap<string, string> = new Map([
  [consoleClientId, 'is the admin console of this server'],
  [tokensClientId, 'stands for all personal access tokens of this server'],
])

/** Refuses to make or change one by hand: where the console leads people decides who gets their tokens. */
export function refuseOwnClient(id: string): void {
  const what = ownClients.get(id)
  if (what === undefined) return
  const advice = 'it can be disabled, and its sessions be ended'
  throw new Refusal('conflict', `${id} ${what}, which sees to it itself`, advice)
}
