/** Shows how far a long work has come. */
export interface Progress {
  /** Called as often as there is something new. */
  readonly at: (done: number) => void
  /** Leaves the line: however the work ends, and before something else is written. */
  readonly end: () => void
}

/**
 * Begins to show a work. `noun` is what is counted, in the singular; without a `total` the end is not known.
 */
export type ShowProgress = (noun: string, total?: number) => Progress
