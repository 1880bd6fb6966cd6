import { promisify } from 'node:util'
import { inflate } from 'node:zlib'
import { statusAt, validStatus, type StatusBits } from '../protocol/status-list.ts'
import { BearerError } from './bearer-error.ts'
import { fetchDocument, unavailable } from './fetching.ts'
import { keep, type Fetched, type Kept } from './kept.ts'
import type { IssuerKeys } from './key-set.ts'
import type { Settings } from './settings.ts'

/** Where a token's status is listed (draft-ietf-oauth-status-list §6.2). */
export interface StatusReference {
  readonly idx: number
  readonly uri: string
}

export interface StatusLists {
  /**
   * Rejects with `invalid_token` for a token that was revoked, and with `temporarily_unavailable` when that
   * is unknown.
   */
  check(reference: StatusReference): Promise<void>
  /** Fetches those anew that are here: something has been missed. */
  renew(): void
}

interface StatusList {
  readonly bits: StatusBits
  readonly list: Uint8Array
  readonly etag: string | undefined
  readonly ttlSeconds: number
  readonly issuedAt: number
  readonly expiresAt: number
}

/** Limits against a list that would be fetched all the time, or never again (§11.5). */
const ttlSecondsMin = 1
const ttlSecondsMax = 86_400

/** More than any list needs: 64 million entries of one bit. */
const listBytesMax = 8 * 1024 * 1024

export function openStatusLists(settings: Settings, keys: IssuerKeys): StatusLists {
  const lists = new Map<string, Kept<StatusList>>()
  const listAt = (uri: string): Kept<StatusList> => {
    const known = lists.get(uri)
    if (known) return known
    const list = keep<StatusList>({
      now: settings.now,
      read: before => readList(settings, keys, uri, before),
      onUnused: () => lists.delete(uri),
    })
    lists.set(uri, list)
    return list
  }
  return {
    check: async ({ idx, uri }) => {
      const { list, bits } = await listAt(uri).get()
      const status = statusAt(list, idx, bits)
      if (status === validStatus) return
      const found = status === undefined ? 'is beyond the end of its list' : `has the status ${status}`
      throw new BearerError('invalid_token', { cause: new Error(`the token ${found}`) })
    },
    renew: () => {
      // Who asks for a token next hears of a failure.
      for (const list of lists.values()) void list.renew().catch(() => {})
    },
  }
}

/** The reference in a verified token's claims; undefined when it has none. */
export function statusReferenceOf({ issuer }: Settings, claims: object): StatusReference | undefined {
  const { status }: { status?: unknown } = claims
  if (status === undefined) return undefined
  const { idx, uri }: { idx?: unknown; uri?: unknown } = Object(Object(status).status_list)
  const isIndex = typeof idx === 'number' && Number.isSafeInteger(idx) && idx >= 0
  // Fetched from the issuer alone, whatever a token says.
  if (isIndex && typeof uri === 'string' && uri.startsWith(`${issuer}/`)) return { idx, uri }
  throw new BearerError('invalid_token', {
    cause: new Error('the status of the token is not one of the issuer'),
  })
}

async function readList(
  settings: Settings,
  keys: IssuerKeys,
  uri: string,
  before: StatusList | undefined,
): Promise<Fetched<StatusList>> {
  const { fetch, now, clockToleranceSeconds } = settings
  const accept = 'application/statuslist+jwt'
  const { text, etag, maxAgeSeconds } = await fetchDocument(uri, { fetch, accept, etag: before?.etag })
  const latest = text === undefined && before ? before : await openList(keys, uri, text ?? '', etag)
  // A cache on the way may have an older one than we had.
  const value = before && before.issuedAt > latest.issuedAt ? before : latest
  const { ttlSeconds, expiresAt } = value
  // Another one is there when this one's time in caches is over; not all should ask for it at once.
  const left = Math.min(ttlSeconds, maxAgeSeconds ?? ttlSeconds)
  const jitter = ttlSeconds * (0.02 + 0.08 * Math.random())
  return {
    value,
    dueAt: now() + 1000 * Math.min(ttlSeconds, left + jitter),
    waitAt: now() + 1000 * (ttlSeconds + Math.min(left, ttlSeconds / 2)),
    endAt: 1000 * (expiresAt + clockToleranceSeconds),
  }
}

/** §5.1 and §8.3. */
async function openList(
  keys: IssuerKeys,
  uri: string,
  jwt: string,
  etag: string | undefined,
): Promise<StatusList> {
  try {
    const requiredClaims = ['iat', 'exp', 'status_list']
    const { payload } = await keys.verify(jwt, { typ: 'statuslist+jwt', subject: uri, requiredClaims })
    const { bits, lst }: { bits?: unknown; lst?: unknown } = Object(payload['status_list'])
    if ((bits !== 1 && bits !== 2 && bits !== 4 && bits !== 8) || typeof lst !== 'string') {
      throw new Error('it has no status_list')
    }
    const list = await promisify(inflate)(Buffer.from(lst, 'base64url'), { maxOutputLength: listBytesMax })
    const { ttl, iat = 0, exp = 0 } = payload
    const ttlSeconds = typeof ttl === 'number' ? Math.min(ttlSecondsMax, Math.max(ttlSecondsMin, ttl)) : 60
    return { bits, list, etag, ttlSeconds, issuedAt: iat, expiresAt: exp }
  } catch (error) {
    throw unavailable(`the status list ${uri} cannot be used`, error)
  }
}
