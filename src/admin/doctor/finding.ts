import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/load.ts'
import type { ShowProgress } from '../progress.ts'

/** The result of a check. A warning may be meant so; a problem is wrong. */
export interface Finding {
  readonly verdict: 'ok' | 'warning' | 'problem'
  readonly text: string
  /** The remedy. */
  readonly advice?: string
}

/** A check gets these besides its subject. */
export interface Examination {
  readonly config: Config
  readonly clock: Pick<Clock, 'now'>
  readonly showProgress: ShowProgress
}
