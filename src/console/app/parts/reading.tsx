import type { ComponentChildren } from 'preact'
import type { Answered } from '../api/use-answer.ts'
import { ProblemNote } from './problem-note.tsx'

interface ReadingProps<Value> {
  readonly of: Answered<Value>
  readonly children: (value: Value) => ComponentChildren
}

/** Shows what was asked for once it is there, and what went wrong. */
export function Reading<Value>({ of: { value, problem, again }, children }: ReadingProps<Value>) {
  return (
    <>
      {problem && <ProblemNote problem={problem} again={again} />}
      {value !== undefined ? children(value) : !problem && <p class="quiet waiting">Loading…</p>}
    </>
  )
}
