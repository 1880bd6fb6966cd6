import type { LostEndings } from '../../../db/backups/lost-endings.ts'
import type { EndOptions } from '../../endings/end.ts'
import type { FinishedWork } from '../../endings/finish.ts'
import type { RevocationPlan } from '../../endings/plan.ts'
import type { ShowProgress } from '../progress.ts'

/** What an administrator is told and asked on the way. What is asked rejects when the answer is no: nothing was changed. */
export interface Talk {
  readonly note: (text: string) => void
  readonly showProgress: ShowProgress
  /** Ends sessions, and shows how far the work has come. */
  readonly showEnding: <T extends FinishedWork | undefined>(
    work: (options: EndOptions) => Promise<T>,
  ) => Promise<T>
  /** What had ended and lives again; undefined where that is not known. */
  readonly askLost: (madeAt: number, lost: LostEndings | undefined) => Promise<void>
  /** What had ended, lives again, and is in no log. */
  readonly askUntold: (madeAt: number, untold: LostEndings) => Promise<void>
  /** A plan from logs that does more than end sessions. Who can write to a log could have caused that. */
  readonly agree: (plan: RevocationPlan) => Promise<void>
}

/** What is to be done about revocations that a database does not know of. */
export interface Choice {
  /** Logs of servers and commands, as absolute paths: what they tell of is revoked again. */
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
