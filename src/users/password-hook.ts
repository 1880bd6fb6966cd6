import { randomInt } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { describeHook, type HookAddress } from '../config/password-hook.ts'
import { unavailable } from '../errors.ts'
import { openSourceQuota } from '../load/source-quota.ts'
import type { Log } from '../record/log.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { askHook, HookError, madeUpCredentials, type Credentials, type HookAnswer } from './hook-request.ts'

/**
 * An old system, which is asked about users who are unknown here. Protects the server from it: one that
 * hangs, fails or lies costs few places for a short time.
 */
export interface PasswordHook {
  /** Its address, without what may be secret. */
  readonly name: string
  /**
   * What it says of a user. 503 where it does not say it, and at once where too many calls are under way, or
   * it has failed too often: then it is unknown whether the password is right.
   */
  ask(credentials: Credentials, source: string | undefined): Promise<HookAnswer>
  /**
   * Takes as long as it takes the old system to say no: a wrong password of a user who is known here must not
   * be told from one of a stranger.
   */
  takeTime(source: string | undefined): Promise<void>
}

export interface PasswordHookOptions {
  readonly address: HookAddress
  readonly clock: Clock
  readonly log: Pick<Log, 'warn' | 'info'>
  /** How long one call may take. */
  readonly seconds?: number
}

/** How many calls are under way at once. */
export const callsMax = 32
/** So many failures in a row, and it is asked no more for a while. */
export const failuresMax = 5
export const openSeconds = 30

/** From so many of the last times one is taken. */
const timesMax = 32

type Outcome = 'yes' | 'no' | 'failed' | 'refused'

export function openPasswordHook({ address, clock, log, seconds }: PasswordHookOptions): {
  readonly passwordHook: PasswordHook
  readonly metrics: readonly Metric[]
} {
  const name = describeHook(address)
  const quota = openSourceQuota(callsMax)
  const counts: Record<Outcome, number> = { yes: 0, no: 0, failed: 0, refused: 0 }
  /** How long it took to say no, in seconds. */
  const times: number[] = []
  let failures = 0
  let openUntil = 0

  const isOpen = () => failures >= failuresMax
  const refused = (why: string, retryAfter: number) => {
    counts.refused++
    return unavailable(new Error(`the password hook is not asked: ${why}`), retryAfter)
  }

  /** Once the time is over, one call tries; the others still wait for what it finds. */
  const passCircuit = () => {
    if (!isOpen()) return
    const left = openUntil - clock.steady()
    if (left > 0) throw refused('it has failed too often', Math.ceil(left))
    openUntil = clock.steady() + openSeconds
  }

  const answered = (answer: HookAnswer, startedAt: number) => {
    if (isOpen()) log.info({ password_hook: name }, 'the password hook answers again')
    failures = 0
    counts[answer ? 'yes' : 'no']++
    if (answer) return
    times.push(clock.steady() - startedAt)
    if (times.length > timesMax) times.shift()
  }

  const failed = ({ message }: HookError) => {
    counts.failed++
    failures++
    if (failures !== failuresMax) return
    openUntil = clock.steady() + openSeconds
    log.warn(
      { password_hook: name, reason: message },
      `the password hook has failed ${failuresMax} times in a row, and is not asked for ${openSeconds} seconds`,
    )
  }

  const ask = async (credentials: Credentials, source: string | undefined): Promise<HookAnswer> => {
    if (quota.taken() >= callsMax || !quota.hasRoomFor(source))
      throw refused('too many calls are under way', 2)
    passCircuit()
    quota.take(source)
    const startedAt = clock.steady()
    try {
      const answer = await askHook(address, credentials, { now: clock.now(), ...(seconds && { seconds }) })
      answered(answer, startedAt)
      return answer
    } catch (error) {
      if (!(error instanceof HookError)) throw error
      failed(error)
      throw unavailable(new Error(`the password hook: ${error.message}`), 5)
    } finally {
      quota.giveBack(source)
    }
  }

  const takeTime = async (source: string | undefined) => {
    const time = times[randomInt(Math.max(1, times.length))]
    if (time !== undefined) return clock.pause(time)
    // Before it has said no for the first time since the start, its time is not known.
    await ask(madeUpCredentials(), source).catch(() => {})
  }

  return {
    passwordHook: { name, ask, takeTime },
    metrics: [
      {
        kind: 'counter',
        name: 'mintmark_password_hook_calls_total',
        help: 'What an old system has said of users unknown here (yes, no, failed), and calls that were refused',
        labels: ['outcome'],
        samples: function* () {
          for (const [outcome, count] of Object.entries(counts)) yield [{ outcome }, count]
        },
      },
      gauge('mintmark_password_hook_open', 'Whether an old system is not asked, since it failed', () =>
        Number(isOpen()),
      ),
    ],
  }
}
