import type { ClientTable, ResourceTable } from '../../db/schema.ts'
import type { Config } from '../config/load.ts'
import { hostOfDocument } from '../protocol/document-url.ts'

/** The resources and scopes of clients that no administrator has made: all that is open. */
export type OpenReach = Pick<ClientTable, 'resources' | 'scope'>

export function openReachOf(
  resources: readonly Pick<ResourceTable, 'uri' | 'scope' | 'is_open'>[],
): OpenReach {
  const open = resources.filter(({ is_open }) => is_open === 1)
  const scopes = open.flatMap(({ scope }) => scope.split(' ')).filter(scope => scope !== '')
  return { resources: open.map(({ uri }) => uri).join(' '), scope: [...new Set(scopes)].join(' ') }
}

/**
 * A client as it counts. One that no administrator has made has what is open now, and nothing where nothing
 * is, or where clients like it are taken no more.
 */
export function asItCounts(
  row: ClientTable,
  reach: OpenReach,
  hosts: Config['clientDocumentHosts'],
): ClientTable {
  if (row.made_by === 'administrator') return row
  const isTakenStill = row.made_by !== 'document' || isTaken(hosts, hostOfDocument(row.id))
  const disabled_at = row.disabled_at ?? (isTakenStill && reach.resources !== '' ? null : row.created_at)
  return { ...row, ...reach, disabled_at }
}

/** Whether the operator takes clients of a host. */
export function isTaken(hosts: Config['clientDocumentHosts'], host: string): boolean {
  return hosts === 'any' || hosts.includes(host)
}
