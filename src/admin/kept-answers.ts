import type { Database } from '../../db/database.ts'
import {
  findIdempotencyKey,
  forgetIdempotencyKeys,
  keepAnswer,
  listIdempotencyKeysUnderOlderKeys,
  releaseIdempotencyKey,
  resealIdempotencyKey,
  reserveIdempotencyKey,
  takeIdempotencyKey,
  type Lease,
  type SealedRow,
} from '../../db/installation/idempotency-keys.ts'
import type { IdempotencyKeyTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import { Refusal, unavailable } from '../errors.ts'
import { rowsUnderOlderKeys } from '../keys/root/older-keys.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Log } from '../record/log.ts'
import { forgetSeconds, type Job } from '../upkeep/job.ts'
import { isObject } from '../values/json.ts'
import { sha256 } from '../values/sha256.ts'

/** How long an answer is kept. */
const keptSeconds = 86_400

/** The caller of forms, whose senders may have no name, and how long their answers are kept. */
export const browserCaller = 'a browser'
const formSeconds = 60

/** A request whose lease was not renewed for so long has lost its process. */
const leaseSeconds = 60
const renewSeconds = 20

/** How often it is looked whether answers are sealed under an older root key, and how many at once. */
const lookSeconds = 10
const limit = 1000

/** A request that is to be done once, as its sender names it. */
export interface KeyedRequest {
  /** As in the audit trail, or that of forms. */
  readonly caller: string
  readonly key: string
  /** All of it that tells it from others. */
  readonly content: string
}

/** What was answered. `text` may hold a secret, and is in the database under a seal alone. */
export interface KeptAnswer {
  readonly status: number
  readonly etag?: string | undefined
  readonly text?: string | undefined
}

export interface Outcome {
  readonly answer: KeptAnswer
  /** Whether it was done before. */
  readonly isRepeated: boolean
}

interface Keeping {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly clock: Clock
  readonly log: Pick<Log, 'error'>
}

/**
 * Does a request once, on whichever instance it arrives, and however often
 * (draft-ietf-httpapi-idempotency-key-header §2.6). It is reserved before it is done, and its answer kept
 * afterwards. Where `act` throws, nothing is kept. Where its process dies in between, it is done again once
 * the lease has passed: an act that was finished then meets its own work, and says that it is there already.
 * Throws a `Refusal`.
 */
export async function doOnce(
  keeping: Keeping,
  { caller, key, content }: KeyedRequest,
  act: () => Promise<KeptAnswer>,
): Promise<Outcome> {
  const { db, rootKeys, clock } = keeping
  const id = sha256(JSON.stringify([caller, key]))
  const request = sha256(content).toString('base64url')
  for (let attempt = 0; attempt < 3; attempt++) {
    const now = clock.now()
    const lease = { id, leased_until: now + leaseSeconds }
    const row = { ...lease, caller, status: null, created_at: now, ...seal(rootKeys, id, { request }) }
    if (await reserveIdempotencyKey(db, row)) return perform(keeping, { lease, request }, act)
    const found = await findIdempotencyKey(db, id)
    // It was let go, or forgotten, since.
    if (!found) continue
    const known = open(rootKeys, found)
    if (known.request !== request)
      throw new Refusal('another_request', 'this Idempotency-Key was sent with another request already')
    if (found.status !== null) {
      const { status } = found
      return { answer: { ...known.answer, status }, isRepeated: true }
    }
    if (found.leased_until > now) break
    if (await takeIdempotencyKey(db, found, lease.leased_until))
      return perform(keeping, { lease, request }, act)
  }
  throw new Refusal('under_way', 'this request is under way: its answer is there when it is sent again')
}

async function perform(
  keeping: Keeping,
  { lease: taken, request }: { readonly lease: Lease; readonly request: string },
  act: () => Promise<KeptAnswer>,
): Promise<Outcome> {
  const { db, rootKeys, log } = keeping
  const ended = new AbortController()
  const renewing = renewLease(keeping, taken, ended.signal)
  const endLease = () => {
    ended.abort()
    return renewing
  }
  let answer: KeptAnswer
  try {
    answer = await act()
  } catch (error) {
    // Where this fails too, it is free once the lease has passed.
    await releaseIdempotencyKey(db, await endLease()).catch(() => {})
    throw error
  }
  const lease = await endLease()
  try {
    const { status } = answer
    await keepAnswer(db, lease, { status, ...seal(rootKeys, lease.id, { request, answer }) })
  } catch (error) {
    // It is done, and its sender is told so.
    log.error(
      { err: error },
      'an answer could not be kept: the same request is done again, if it is repeated',
    )
  }
  return { answer, isRepeated: false }
}

/** Renews the lease until the signal, however long the act takes, and returns the last one. */
async function renewLease({ db, clock }: Keeping, taken: Lease, signal: AbortSignal): Promise<Lease> {
  let lease = taken
  while (!signal.aborted) {
    await clock.pause(renewSeconds, signal)
    const until = clock.now() + leaseSeconds
    if (signal.aborted || until < lease.leased_until + renewSeconds) continue
    // Where it fails, it is tried again before the lease has passed.
    const isRenewed = await takeIdempotencyKey(db, lease, until).catch(() => undefined)
    if (isRenewed === false) return lease
    if (isRenewed) lease = { id: lease.id, leased_until: until }
  }
  return lease
}

interface Content {
  /** Its hash is under the seal: of a body with a password it would let a thief guess that. */
  readonly request: string
  readonly answer?: KeptAnswer
}

const purpose = 'kept answer'

function seal(rootKeys: RootKeys, id: Buffer, content: Content): SealedRow {
  const { rootKeyId, sealed } = rootKeys.seal(
    purpose,
    id.toString('hex'),
    Buffer.from(JSON.stringify(content)),
  )
  return { sealed, root_key_id: rootKeyId }
}

function open(rootKeys: RootKeys, row: IdempotencyKeyTable): Content {
  const content = read(rootKeys, row)
  if (content) return content
  throw unavailable(new Error('a kept answer is under a root key that is not in the file, or was changed'))
}

function read(
  rootKeys: RootKeys,
  { id, root_key_id, sealed }: Pick<IdempotencyKeyTable, 'id' | 'root_key_id' | 'sealed'>,
): Content | undefined {
  const text = rootKeys.open(purpose, id.toString('hex'), root_key_id, sealed)
  const content: unknown = text && JSON.parse(text.toString())
  // Authenticated: only we can have written it.
  return isObject(content) ? (content as unknown as Content) : undefined
}

/** Seals the answers under the current root key, and forgets them after a day, and those of forms sooner. */
export function keptAnswers({ db, rootKeys, clock }: Omit<Keeping, 'log'>): {
  readonly jobs: readonly Job[]
} {
  const forget = async (signal: AbortSignal) => {
    const [before, ofForms] = [clock.now() - keptSeconds, clock.now() - formSeconds]
    while (!signal.aborted && (await forgetIdempotencyKeys(db, { before }, limit)) === limit);
    const forms = { before: ofForms, caller: browserCaller }
    while (!signal.aborted && (await forgetIdempotencyKeys(db, forms, limit)) === limit);
  }
  const reseal = async () => {
    const list = (keyId: string) => listIdempotencyKeysUnderOlderKeys(db, keyId, limit)
    for (const row of await rowsUnderOlderKeys(rootKeys, list)) {
      const content = read(rootKeys, row)
      if (content) await resealIdempotencyKey(db, row, seal(rootKeys, row.id, content))
    }
  }
  return {
    jobs: [
      { name: 'forgetting kept answers', everySeconds: forgetSeconds, run: forget },
      { name: 'sealing kept answers anew', everySeconds: lookSeconds, run: reseal },
    ],
  }
}
