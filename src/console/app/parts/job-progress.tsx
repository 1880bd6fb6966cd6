import { useEffect, useState } from 'preact/hooks'
import { api, documentOf, type Job } from '../api/api.ts'
import type { Problem } from '../api/problem.ts'
import { asProblem } from '../api/use-answer.ts'
import { ProblemNote } from './problem-note.tsx'
import { counted } from './words.ts'

interface JobProgressProps {
  readonly job: Job
  readonly onEnd: () => void
}

/** How far a long work has come, which goes on without us. */
export function JobProgress({ job: first, onEnd }: JobProgressProps) {
  const [job, setJob] = useState(first)
  const [problem, setProblem] = useState<Problem>()
  const { id, state, done, total } = job
  const params = { path: { id } }
  const fail = (error: unknown) => setProblem(asProblem(error))
  useEffect(() => {
    if (state !== 'running') return
    const timer = setTimeout(() => {
      documentOf(api.GET('/admin/v1/jobs/{id}', { params })).then(next => {
        setJob(next)
        if (next.state !== 'running') onEnd()
      }, fail)
    }, 700)
    return () => clearTimeout(timer)
  }, [job])
  const stop = () => documentOf(api.DELETE('/admin/v1/jobs/{id}', { params })).then(setJob, fail)
  const count = counted(done, 'session')
  return (
    <div>
      <p role="status">
        {state === 'done' && `Done: ${count} ended.`}
        {state === 'stopped' && `Stopped: ${count} had ended by then, and stay ended.`}
        {state === 'running' && `${count}${total === null ? '' : ` of ${total}`} ended so far.`}
      </p>
      {problem && <ProblemNote problem={problem} />}
      {state === 'running' && (
        <>
          <progress
            value={total === null ? undefined : done}
            max={total ?? undefined}
            aria-label="Progress"
          />
          <p class="quiet">It goes on also when you close this.</p>
          <button type="button" class="second" onClick={() => void stop()}>
            Stop
          </button>
        </>
      )}
    </div>
  )
}
