/**
 * Something that a service has done again and again, in each process that serves the installation. What must
 * be done once for all of them is decided by conditional statements, so it does not matter how many try.
 */
export interface Job {
  /** For the log, as in `NAME failed, and is tried again`. */
  readonly name: string
  /** The rest between two runs. */
  readonly everySeconds: number
  /** Done at once, besides, when the database tells of a change. */
  readonly follows?: true
  /** Does it once. The signal asks one that takes long to come to an end. */
  readonly run: (signal: AbortSignal) => Promise<unknown>
  /** Tells what has not been told yet, when all jobs have stopped. */
  readonly last?: () => Promise<void>
}

/** How often a server asks whether something has changed: so that a change takes effect within a second. */
export const followSeconds = 0.5

/** How often servers tell each other what was guessed, and write down what happened. */
export const tellSeconds = 1

/** How often the rows are deleted that nothing needs any more. */
export const forgetSeconds = 60
