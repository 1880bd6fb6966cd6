import type { LostEndings } from '../../../db/backups/lost-endings.ts'
import type { EndOptions } from '../../endings/end.ts'
import type { FinishedWork } from '../../endings/finish.ts'
import type { RevocationPlan } from '../../endings/plan.ts'
import type { ShowProgress } from '../progress.ts'

/** Tells and asks an administrator on the way. A question rejects on the answer no: nothing has changed. */
export interface Talk {
  readonly note: (text: string) => void
  readonly showProgress: ShowProgress
  /** Ends sessions, and shows how far the work has come. */
  readonly showEnding: <T extends FinishedWork | undefined>(
    work: (options: EndOptions) => Promise<T>,
  ) => Promise<T>
  /** Asks about endings that are lost, so that these live again; undefined if unknown. */
  readonly askLost: (madeAt: number, lost: LostEndings | undefined) => Promise<void>
  /** Asks about endings that are lost and in no log. */
  readonly askUntold: (madeAt: number, untold: LostEndings) => Promise<void>
  /** Asks about a plan from logs that does more than end sessions: a log's writer could have caused it. */
  readonly agree: (plan: RevocationPlan) => Promise<void>
}

/** How to treat revocations that a database does not know of. */
export interface Choice {
  /** Logs of servers and commands, as absolute paths: the revocations in them are done again. */
  readonly logs?: readonly string[] | undefined
  /** Whether nothing but sessions shall end, whatever the logs tell. */
  readonly sessionsOnly?: boolean | undefined
  /** Whether what was revoked may live again. */
  readonly acceptUnrevoked?: boolean | undefined
  /** Whether all sessions end. */
  readonly endSessions?: boolean | undefined
}

/** Whether it was said what becomes of what no log tells. */
export function isDecided({ acceptUnrevoked, endSessions }: Choice): boolean {
  return acceptUnrevoked === true || endSessions === true
}
