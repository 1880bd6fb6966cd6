import { useCallback, useEffect, useState } from 'preact/hooks'
import { Problem } from './problem.ts'

/** The answer to a question, as far as it is there. */
export interface Answered<Value> {
  /** The last one, also while it is asked for again. */
  readonly value: Value | undefined
  readonly problem: Problem | undefined
  /** Asks anew. */
  readonly again: () => void
  /** How often that was done, for things beside it that are asked for again too. */
  readonly times: number
}

/** Asks when it is first shown, and whenever one of `by` changes; gives up what it then still waits for. */
export function useAnswer<Value>(
  ask: (signal: AbortSignal) => Promise<Value>,
  by: readonly unknown[],
): Answered<Value> {
  const [state, setState] = useState<Pick<Answered<Value>, 'value' | 'problem'>>({
    value: undefined,
    problem: undefined,
  })
  const [times, setTimes] = useState(0)
  useEffect(() => {
    const given = new AbortController()
    ask(given.signal).then(
      value => !given.signal.aborted && setState({ value, problem: undefined }),
      (error: unknown) =>
        !given.signal.aborted && setState(({ value }) => ({ value, problem: asProblem(error) })),
    )
    return () => given.abort()
  }, [...by, times])
  return { ...state, times, again: useCallback(() => setTimes(times => times + 1), []) }
}

/** A fault of ours is shown as one. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem({
    status: 0,
    code: 'unexpected',
    detail: `Something went wrong in the console: ${error}`,
  })
}
