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

const deeds: Readonly<Record<Job['act'], readonly [noun: string, deed: string]>> = {
  end_sessions: ['session', 'ended'],
  import_users: ['entry', 'read'],
}

const isUnderWay = (state: Job['state']) => state === 'running' || state === 'receiving'

/** How far a long work has come, which goes on without us. */
export function JobProgress({ job: first, onEnd }: JobProgressProps) {
  const [job, setJob] = useState(first)
  const [problem, setProblem] = useState<Problem>()
  const { id, state, done, total } = job
  const params = { path: { id } }
  const fail = (error: unknown) => setProblem(asProblem(error))
  useEffect(() => {
    if (!isUnderWay(state)) return
    const timer = setTimeout(() => {
      documentOf(api.GET('/admin/v1/jobs/{id}', { params })).then(next => {
        setJob(next)
        if (!isUnderWay(next.state)) onEnd()
      }, fail)
    }, 700)
    return () => clearTimeout(timer)
  }, [job])
  const stop = () => documentOf(api.DELETE('/admin/v1/jobs/{id}', { params })).then(setJob, fail)
  return (
    <div>
      <p role="status">{progressText(job)}</p>
      {problem && <ProblemNote problem={problem} />}
      {isUnderWay(state) && (
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

function progressText({ act, state, done, total, problem, result }: Job): string {
  const [noun, deed] = deeds[act]
  const count = act === 'import_users' ? countOfEntries(done) : counted(done, noun)
  switch (state) {
    case 'receiving':
      return 'Its file arrives.'
    case 'running':
      return `${count}${total === null ? '' : ` of ${total.toLocaleString('en')}`} ${deed} so far.`
    case 'stopped':
      return `Stopped: ${count} had ${deed} by then, which stays so.`
    case 'failed':
      return `It cannot go on: ${problem ?? 'the log says why'}.`
    case 'done':
      return `Done: ${importText(result) ?? `${count} ${deed}`}.`
  }
}

/** What an import, or its dry run, has come to; undefined for another work. */
function importText(result: Job['result']): string | undefined {
  if (result === null || 'sessions_revoked' in result) return undefined
  const refused = `${countOfEntries(result.entries_refused)} refused`
  return 'users_created' in result
    ? `${counted(result.users_created, 'user')} added, ${refused}`
    : `${counted(result.users_to_create, 'user')} would be added, ${refused}`
}

const countOfEntries = (count: number) => `${count.toLocaleString('en')} ${count === 1 ? 'entry' : 'entries'}`
