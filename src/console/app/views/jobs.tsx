import { useEffect } from 'preact/hooks'
import { api, documentOf, type Job } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { JobProgress } from '../parts/job-progress.tsx'
import { Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'
import { Actor } from './audit-row.tsx'
import { isDryRun } from './imports.tsx'

/** Somebody else may begin one. */
const againMs = 15_000

const isUnderWay = ({ state }: Job) => state === 'running' || state === 'receiving'

/** Long works that are under way, of all administrators. */
export function RunningJobs() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/jobs', { signal })), [])
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && read.again(), againMs)
    return () => clearInterval(timer)
  }, [])
  return (
    <Section title="Long works">
      <Reading of={read}>
        {({ items }) => {
          const running = items.filter(isUnderWay)
          if (running.length === 0) return <p>None is under way.</p>
          return (
            <ul class="rows" aria-label="Long works">
              {running.map(job => (
                <li key={job.id}>
                  <span class="row">
                    {job.act === 'import_users' && maySeeAll.value ? (
                      <a href={href(`/imports/${job.id}`)}>
                        {isDryRun(job) ? 'Dry run of an import' : workNames[job.act]}
                      </a>
                    ) : (
                      workNames[job.act]
                    )}
                  </span>
                  <span>
                    Begun <Time at={job.created_at} /> by <Actor actor={job.actor} />
                  </span>
                  <JobProgress job={job} onEnd={read.again} />
                </li>
              ))}
            </ul>
          )
        }}
      </Reading>
    </Section>
  )
}

const workNames: Readonly<Record<Job['act'], string>> = {
  end_sessions: 'Ending sessions',
  import_users: 'Importing users',
}
