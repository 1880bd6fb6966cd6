import { promisify } from 'node:util'
import { deflate, gzip } from 'node:zlib'
import type { Database } from '../../db/database.ts'
import {
  deleteStatusLists,
  findStatusList,
  listStatusListNumbers,
  signStatusList,
  type SignedForm,
} from '../../db/installation/status-lists.ts'
import { deleteRevocations, listRevocations } from '../../db/sessions/revocations.ts'
import { readSweeper } from '../../db/sessions/sweeper.ts'
import type { Registry } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { unavailable } from '../errors.ts'
import { defaultAlg } from '../keys/algorithms.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import { longestTokenSeconds } from '../protocol/access-token.ts'
import {
  invalidStatus,
  newStatusList,
  setStatus,
  statusListSize,
  statusListUri,
} from '../protocol/status-list.ts'
import { countCommands } from '../record/count-commands.ts'
import type { Counts } from '../record/counts.ts'
import { followSeconds, forgetSeconds, type Job } from '../upkeep/job.ts'
import { sha256 } from '../values/sha256.ts'
import { openFeed } from './feed.ts'

/** A list as it is served. */
export interface SignedStatusList {
  readonly jwt: string
  readonly gzipped: Buffer
  /** Strong (RFC 9110 §8.8.3), and that of the compressed form. */
  readonly etag: string
  readonly gzippedEtag: string
  /** From then on (epoch seconds) there is another one. */
  readonly freshUntil: number
}

/** The status lists (draft-ietf-oauth-status-list), from memory. */
export interface StatusLists {
  /** The list as every instance serves it now; undefined when there is none of this number. */
  readonly find: (number: number) => Promise<SignedStatusList | undefined>
  /** The numbers of all lists. */
  readonly numbers: () => readonly number[]
}

export interface StatusListsOptions {
  readonly config: Config
  readonly db: Database
  readonly keys: KeyRing
  readonly registry: Registry
  readonly counts: Counts
  readonly clock: Clock
}

/** How long a revoked session stays in its list: no token of it lives longer, whatever the clocks say. */
export const revocationSeconds = longestTokenSeconds + 3600

/**
 * How long a list is served before another one is signed, and how long a verifier may keep what it has
 * fetched (`ttl`): so no revocation stays unknown for longer than the sum of the two, which is the promised
 * delay.
 */
export function statusListTtl({
  statusListDelaySeconds,
}: {
  readonly statusListDelaySeconds: number
}): number {
  return Math.floor(statusListDelaySeconds / 2)
}

/** Opens the lists. The first call of `find`, and the jobs, read what was revoked; the jobs forget it. */
export function openStatusLists(options: StatusListsOptions): {
  readonly statusLists: StatusLists
  readonly jobs: readonly Job[]
} {
  const { db, clock } = options
  const bits = openBits(clock)
  const feed = openFeed({
    list: page => listRevocations(db, page),
    isSame: (one, other) => one.session_id.equals(other.session_id),
    onEntry: ({ status_position }) => bits.set(status_position),
    onNews: countCommands(db, options.counts),
    onRestart: bits.clear,
  })
  const numbers = followNumbers(db, clock)
  const entries = new Map<number, Entry>()

  const renew = (number: number) =>
    renewList(options, number, async () => {
      // Whatever was committed before this moment is in the list.
      await feed.read()
      return bits.of(number)
    })

  const statusLists: StatusLists = {
    find: async number => {
      if (!(await numbers.has(number))) return undefined
      const entry: Entry = entries.get(number) ?? {}
      entries.set(number, entry)
      if (entry.list && isFresh(options, entry.list)) return entry.list
      entry.renewing ??= renew(number)
        .then(list => (entry.list = list))
        .finally(() => (entry.renewing = undefined))
      return entry.renewing
    },
    numbers: numbers.known,
  }
  const follow = async () => {
    await feed.read()
    await numbers.follow()
    for (const number of entries.keys()) if (!numbers.known().includes(number)) entries.delete(number)
  }
  return {
    statusLists,
    jobs: [
      {
        name: 'following what is revoked',
        everySeconds: followSeconds,
        follows: true,
        run: follow,
      },
      {
        name: 'forgetting what was revoked',
        everySeconds: forgetSeconds,
        run: () => forgetRevocations(db, clock),
      },
    ],
  }
}

/**
 * Deletes revocations older than any living token, 10,000 at a time. By the sweeper's time, which does not
 * follow a clock that jumps ahead.
 */
async function forgetRevocations(db: Database, clock: Clock): Promise<void> {
  const sweeper = await readSweeper(db)
  const before = Math.min(clock.now(), sweeper.clock ?? 0) - revocationSeconds
  await deleteRevocations(db, { before, limit: 10_000 })
  await deleteStatusLists(db, before)
}

interface Entry {
  list?: CheckedStatusList | undefined
  renewing?: Promise<CheckedStatusList | undefined> | undefined
}

interface CheckedStatusList extends SignedStatusList {
  /** The key set by which its signature was verified. */
  readonly keysEtag: string
}

function isFresh(options: StatusListsOptions, { freshUntil, keysEtag }: CheckedStatusList): boolean {
  return isFreshUntil(options, freshUntil) && keysEtag === options.keys.jwks().etag
}

/** No list is fresh for longer than a new one, whatever another instance or a wrong clock has written. */
function isFreshUntil({ config, clock }: StatusListsOptions, freshUntil: number): boolean {
  const at = clock.now()
  return at < freshUntil && freshUntil <= at + statusListTtl(config)
}

/**
 * The list that is served from now on: the one in the database while that is fresh, or a new one. Of several
 * instances that sign one at once, the first to store it wins, and the others serve what it has signed.
 */
async function renewList(
  options: StatusListsOptions,
  number: number,
  readBits: () => Promise<Uint8Array>,
): Promise<CheckedStatusList | undefined> {
  const { db, keys, clock } = options
  for (let attempt = 0; attempt < 3; attempt++) {
    const row = await findStatusList(db, number)
    if (!row) return undefined
    const at = clock.now()
    const { jwt, fresh_until } = row
    const isFreshThere = jwt !== null && fresh_until !== null && isFreshUntil(options, fresh_until)
    const keysEtag = keys.jwks().etag
    // Its key may have been revoked.
    if (isFreshThere && keys.verify(jwt, statusListType)) return formsOf(jwt, fresh_until, keysEtag)
    const form = await signList(options, number, await readBits(), at)
    if (await signStatusList(db, row, form)) return formsOf(form.jwt, form.fresh_until, keysEtag)
  }
  throw unavailable(new Error(`others signed the status list ${number} three times meanwhile`))
}

const statusListType = 'statuslist+jwt'

/**
 * draft-ietf-oauth-status-list §5.1. It expires after every access token that there was when it was signed.
 */
async function signList(
  { config, keys, registry }: StatusListsOptions,
  number: number,
  bits: Uint8Array,
  at: number,
): Promise<SignedForm> {
  const lifetimes = (await registry.listResources()).map(resource => resource.access_token_seconds ?? 0)
  const ttl = statusListTtl(config)
  const lst = await promisify(deflate)(bits, { level: 9 })
  const jwt = await keys.sign(statusListType, defaultAlg, {
    iss: config.issuer,
    sub: statusListUri(config.issuer, number),
    iat: at,
    exp: at + Math.max(config.accessTokenSeconds, ...lifetimes) + ttl,
    ttl,
    status_list: {
      bits: 1,
      lst: lst.toString('base64url'),
      aggregation_uri: `${config.issuer}/status-lists`,
    },
  })
  return { jwt, signed_at: at, fresh_until: at + ttl }
}

/** In the forms in which it is sent, with their tags. */
async function formsOf(jwt: string, freshUntil: number, keysEtag: string): Promise<CheckedStatusList> {
  const hash = sha256(jwt).toString('base64url')
  const gzipped = await promisify(gzip)(jwt)
  return { jwt, gzipped, etag: `"${hash}"`, gzippedEtag: `"${hash}-gzip"`, freshUntil, keysEtag }
}

/**
 * The bits of what was revoked lately. Those of one period are forgotten together, when the next one is over
 * too.
 */
function openBits(clock: Clock) {
  let current = new Map<number, Uint8Array>()
  let previous = new Map<number, Uint8Array>()
  let since = clock.now()
  const turn = () => {
    if (clock.now() - since <= revocationSeconds) return
    previous = current
    current = new Map()
    since = clock.now()
  }
  return {
    set: (position: number) => {
      turn()
      const number = Math.floor(position / statusListSize)
      const list = current.get(number) ?? newStatusList(statusListSize)
      current.set(number, list)
      setStatus(list, position % statusListSize, invalidStatus)
    },
    clear: () => {
      current = new Map()
      previous = new Map()
    },
    /** A copy. */
    of: (number: number): Uint8Array => {
      turn()
      const earlier = previous.get(number)
      const list = current.get(number)?.slice() ?? newStatusList(statusListSize)
      return earlier ? list.map((byte, i) => byte | (earlier[i] ?? 0)) : list
    },
  }
}

/** How often the database is asked at the most for a list that is unknown here. */
const askSeconds = 0.1

/** Which lists there are. */
function followNumbers(db: Database, clock: Clock) {
  let known: readonly number[] = []
  let readAt = -Infinity
  let asking: Promise<void> | undefined
  const follow = async () => {
    known = await listStatusListNumbers(db)
    readAt = clock.steady()
  }
  const ask = async () => {
    await clock.pause(Math.max(0, readAt + askSeconds - clock.steady()))
    await follow()
  }
  return {
    known: () => known,
    follow,
    has: async (number: number): Promise<boolean> => {
      if (known.includes(number)) return true
      // Another instance may have begun the next one just now; none can have begun the one after that.
      if (number > (known.at(-1) ?? -1) + 1) return false
      asking ??= ask().finally(() => {
        asking = undefined
      })
      await asking
      return known.includes(number)
    },
  }
}
