import { OAuthError, unavailable } from '../errors.ts'
import { clientOfDocument } from './client-document.ts'
import type { ClientDocuments } from './client-documents.ts'
import { openReachOf } from './open-reach.ts'
import type { Client, Registry } from './registry.ts'

/** Why there is no client of an id that is the URL of a document. */
export type NoRequester =
  | { readonly kind: 'client_document_refused'; readonly detail: string }
  | { readonly kind: 'client_document_unreachable'; readonly retryAfter: number }

/** As much of a context as finds the client that makes a request. */
export interface WithDocuments {
  readonly clients: { readonly registry: Registry; readonly documents: ClientDocuments }
}

/**
 * The client that makes an authorization request. One that is known by a document is as that says now, while
 * its own row is changed only once a person has allowed it something. Undefined for an unknown one.
 */
export async function findRequester(
  { clients: { registry, documents } }: WithDocuments,
  id: string,
): Promise<Client | NoRequester | undefined> {
  const known = await registry.findClient(id)
  if (!documents.takes(id) || (known && (known.made_by !== 'document' || known.disabled_at !== null)))
    return known
  const document = await documents.of(id, known !== undefined)
  switch (document.kind) {
    case 'refused':
      return { kind: 'client_document_refused', detail: document.reason }
    case 'unreachable':
      return { kind: 'client_document_unreachable', retryAfter: document.retryAfter }
    case 'good': {
      if (known) return { ...known, ...document.columns }
      const reach = openReachOf(await registry.listResources())
      if (reach.resources === '') return { kind: 'client_document_refused', detail: nothingOpen }
      return { ...clientOfDocument(id, document.columns), ...reach }
    }
  }
}

const nothingOpen = 'no API of this server is open to clients that its administrators have not made'

export function isRequester(found: Client | NoRequester | undefined): found is Client {
  return found !== undefined && !('kind' in found)
}

/** The same for a program, which is told why there is none. */
export async function requireRequester(ctx: WithDocuments, id: string): Promise<Client | undefined> {
  const found = await findRequester(ctx, id)
  if (found === undefined || isRequester(found)) return found
  if (found.kind === 'client_document_unreachable')
    throw unavailable('the document of the client cannot be fetched', found.retryAfter)
  throw new OAuthError('invalid_client', `the document at the client_id is not taken: ${found.detail}`)
}
