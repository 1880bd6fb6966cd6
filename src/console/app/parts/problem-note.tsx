import { adviceFor, type Problem } from '../api/problem.ts'

interface ProblemNoteProps {
  readonly problem: Problem
  /** What to do again; nothing, unless told. */
  readonly again?: (() => void) | undefined
}

/** What went wrong, what to do, and by what the log has it. */
export function ProblemNote({ problem, again }: ProblemNoteProps) {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{problem.message}</strong> {adviceFor(problem)}
      </p>
      {problem.requestId !== undefined && (
        <p class="quiet">
          The log of the server has it under the request <code>{problem.requestId}</code>.
        </p>
      )}
      {again && (
        <button type="button" class="second" onClick={again}>
          Try again
        </button>
      )}
    </div>
  )
}
