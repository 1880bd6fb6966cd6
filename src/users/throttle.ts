import type { Database } from '../../db/database.ts'
import { deleteEmptyThrottles, fillThrottles, readThrottles } from '../../db/users/throttles.ts'
import type { Clock } from '../clock.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import {
  type BucketLimit,
  type Buckets,
  openBuckets,
  secondsToWait,
  secondsWhenFull,
} from '../load/buckets.ts'
import type { LimitName } from '../record/events.ts'
import { forgetSeconds, tellSeconds, type Job } from '../upkeep/job.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { hmacSha256 } from '../values/sha256.ts'
import {
  accountLimit,
  clientSecretLimit,
  codeLimit,
  deviceLimit,
  devicesLimit,
  pairLimit,
  sourceLimit,
  strangersLimit,
} from './guess-limits.ts'

/**
 * How often an unauthenticated caller may try. Counts in memory and tells the database once a second, which
 * is asked before each guess that memory would let through.
 */
export interface Throttle {
  /**
   * Takes a point for a guess from each bucket that it counts in, before anything slow is done for it: of
   * parallel guesses all would pass otherwise. `isKnownSource` is asked only while strangers may not guess at
   * this account.
   */
  take(guess: Guess, isKnownSource: () => Promise<boolean>): Promise<Attempt>
  /**
   * Takes a point for a code that stands beside a password. Each kind has a bucket of its own, so that who
   * guesses at one keeps the owner from no other; and the devices of the owner have theirs.
   */
  takeCode(kind: CodeKind, userId: Buffer, device: string | undefined): Promise<Attempt>
  /**
   * Counts a wrong client secret, assertion or certificate; for how many seconds the client should wait if
   * there were too many, else 0.
   */
  countWrongCredentials(clientId: string): number
  /**
   * Counts what is let through so often only, and is no guess: it takes a point from each bucket for good, or
   * from none. For how many seconds it is too much, else 0.
   */
  count(allowances: readonly Allowance[]): Promise<number>
  /** Takes a point from each bucket, or from none, for a guess of another kind than those above. */
  takeFrom(allowances: readonly Allowance[]): Promise<Attempt<string>>
  /** How many buckets are in memory, and what is to be told of them. */
  size(): number
}

export interface Allowance {
  /** What the bucket is of: the first part is the name of its kind. */
  readonly of: readonly [kind: string, ...parts: string[]]
  readonly limit: BucketLimit
}

export interface Guess {
  /** In the form in which accounts have it. Unknown names count like known ones. */
  readonly username: string
  /** An address or a network; undefined where all users come from one. */
  readonly source: string | undefined
  /** Tells the device apart; from a genuine device token of this account. */
  readonly device: string | undefined
}

/** A code of an authenticator app, or a recovery code. */
export type CodeKind = Extract<LimitName, 'code' | 'recovery code'>

export type Attempt<Name = LimitName> =
  | {
      readonly kind: 'taken'
      /** The guess was wrong, so the points stay. */
      readonly fail: () => void
      /** It was right, or was never judged: gives the points back. After `fail`, nothing. */
      readonly giveBack: () => void
    }
  | Refused<Name>

export interface Refused<Name> {
  readonly kind: 'refused'
  readonly limit: Name
  readonly retryAfter: number
}

export interface ThrottleOptions {
  readonly db: Database
  readonly rootKeys: Pick<RootKeys, 'derive' | 'currentId'>
  /** Seconds since the epoch, the same on all servers. */
  readonly clock: Clock
  /** How many buckets are kept in memory. */
  readonly bucketsMax?: number
}

/**
 * Opens the throttle. Its jobs tell the database what was counted here, hear what others have, and forget
 * what is empty.
 */
export function openThrottle({ db, rootKeys, clock, bucketsMax = 50_000 }: ThrottleOptions): {
  readonly throttle: Throttle
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const buckets = openBuckets(clock, bucketsMax)
  // A client's name costs a guesser nothing, so these have a place of their own, where they push no others
  // out.
  const secrets = openBuckets(clock, 10_000)

  /** People type passwords into the name field: neither memory nor the database has the name in clear. */
  const keyOf = (...parts: readonly string[]): string => {
    const key = rootKeys.derive('throttle', rootKeys.currentId)
    if (!key) throw new Error('unreachable: the current root key is there')
    return hmacSha256(key, JSON.stringify(parts)).toString('base64url').slice(0, 22)
  }

  const countsOf = ({ username, source, device }: Guess, limit: BucketLimit): readonly Count[] => {
    if (device !== undefined) {
      return [
        { name: 'device', key: keyOf('device', device), limit: deviceLimit },
        { name: 'devices', key: keyOf('devices', username), limit: devicesLimit },
      ]
    }
    const account: Count = { name: 'account', key: keyOf('account', username), limit }
    if (source === undefined) return [account]
    return [
      { name: 'source', key: keyOf('source', source), limit: sourceLimit },
      { name: 'account and source', key: keyOf('pair', username, source), limit: pairLimit },
      account,
    ]
  }

  const countOf = ({ of: [kind, ...parts], limit }: Allowance): Count<string> => ({
    name: kind,
    key: keyOf(kind, ...parts),
    limit,
  })

  /** A bucket full here is full. Else others may have filled it, or this server before its restart. */
  const take = async <Name>(counts: readonly Count<Name>[]): Promise<Attempt<Name>> => {
    if (!refusalOf(buckets, counts)) {
      const full = counts.map(({ key, limit }) => ({ key, secondsWhenFull: secondsWhenFull(limit) }))
      buckets.hear(await readThrottles(db, full, clock.now()))
    }
    return takeFrom(buckets, counts)
  }

  // In one write. Nothing to tell: no write.
  const share = () => buckets.share(fillings => fillThrottles(db, fillings, clock.now()))
  const throttle: Throttle = {
    take: async (guess, isKnownSource) => {
      const attempt = await take(countsOf(guess, strangersLimit))
      if (attempt.kind === 'taken' || attempt.limit !== 'account') return attempt
      return (await isKnownSource()) ? take(countsOf(guess, accountLimit)) : attempt
    },
    takeCode: (kind, userId, device) => {
      const whose = device === undefined ? 'strangers' : 'devices'
      const key = keyOf(kind, whose, userId.toString('base64url'))
      return take([{ name: kind, key, limit: codeLimit }])
    },
    countWrongCredentials: clientId => {
      const key = keyOf('client', clientId)
      const wait = secondsToWait(secrets.fillOf(key, clientSecretLimit), clientSecretLimit)
      if (wait === 0) secrets.fill(key, clientSecretLimit)
      return wait
    },
    count: async allowances => {
      const attempt = await take(allowances.map(countOf))
      if (attempt.kind === 'refused') return attempt.retryAfter
      attempt.fail()
      return 0
    },
    takeFrom: allowances => take(allowances.map(countOf)),
    size: () => buckets.size() + secrets.size(),
  }
  return {
    throttle,
    jobs: [
      {
        name: 'sharing the counts of wrong guesses',
        everySeconds: tellSeconds,
        run: share,
        last: share,
      },
      {
        name: 'forgetting guesses',
        everySeconds: forgetSeconds,
        run: () => deleteEmptyThrottles(db, { now: clock.now(), limit: 10_000 }),
      },
    ],
    metrics: [gauge('mintmark_throttle_buckets', 'Counters of wrong guesses in memory', throttle.size)],
  }
}

interface Count<Name = LimitName> {
  readonly name: Name
  readonly key: string
  readonly limit: BucketLimit
}

/** Says for which of the buckets one more guess is too many; undefined when for none. */
function refusalOf<Name>(buckets: Buckets, counts: readonly Count<Name>[]): Refused<Name> | undefined {
  for (const { name, key, limit } of counts) {
    const retryAfter = secondsToWait(buckets.fillOf(key, limit), limit)
    if (retryAfter > 0) return { kind: 'refused', limit: name, retryAfter }
  }
  return undefined
}

/** Takes a point from all buckets or, when one is full, from none, in one turn of the event loop. */
function takeFrom<Name>(buckets: Buckets, counts: readonly Count<Name>[]): Attempt<Name> {
  const refused = refusalOf(buckets, counts)
  if (refused) return refused
  for (const { key } of counts) buckets.take(key)
  let isOpen = true
  const close = (how: 'keep' | 'giveBack') => () => {
    if (isOpen) for (const { key, limit } of counts) buckets[how](key, limit)
    isOpen = false
  }
  return { kind: 'taken', fail: close('keep'), giveBack: close('giveBack') }
}
