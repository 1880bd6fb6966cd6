import { api, documentOf, type Job, type RefusedEntry } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Facts } from '../parts/facts.tsx'
import { JobProgress } from '../parts/job-progress.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'
import { Actor } from './audit-row.tsx'
import { isDryRun, nameOfImport } from './imports.tsx'

/** One import: how far it has come, and what it has refused. */
export function ImportView({ id }: { readonly id: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/jobs/{id}', { params: { path: { id } }, signal })),
    [id],
  )
  return (
    <Page
      title={read.value ? nameOfImport(read.value) : 'Import'}
      above={<a href={href('/imports')}>Imports</a>}
    >
      <Reading of={read}>
        {job => (
          <>
            <JobProgress key={job.state} job={job} onEnd={read.again} />
            {isDryRun(job) && job.state === 'done' && maySeeAll.value && (
              <p>
                Nobody was added.{' '}
                <a href={href('/imports', { act: 'import' })}>Send the file for the import itself</a>.
              </p>
            )}
            <Refused job={job} />
            <Section title="About it">
              <Facts
                facts={[
                  ['Begun', <Time at={job.created_at} />],
                  ['By', <Actor actor={job.actor} />],
                  ['Ended', job.ended_at && <Time at={job.ended_at} />],
                  [
                    'SHA-256 of the file',
                    job.choice['file'] !== undefined && <code>{String(job.choice['file'])}</code>,
                  ],
                ]}
              />
            </Section>
          </>
        )}
      </Reading>
    </Page>
  )
}

function Refused({ job: { id, state, refused } }: { readonly job: Job }) {
  if (state === 'receiving') return null
  return (
    <Section title="Refused entries">
      <Pages<RefusedEntry>
        label="Refused entries"
        by={`${state} ${refused}`}
        read={(page, signal) => {
          const params = { path: { id }, query: page }
          return documentOf(api.GET('/admin/v1/users/imports/{id}/refused', { params, signal }))
        }}
        keyOf={({ entry }) => String(entry)}
        row={({ entry, username, problem }) => (
          <>
            <span class="row">
              Entry {entry.toLocaleString('en')}
              {username !== undefined && (
                <>
                  , <bdi>{username}</bdi>
                </>
              )}
            </span>
            <span>{problem.charAt(0).toUpperCase() + problem.slice(1)}.</span>
          </>
        )}
        empty={
          <p>{state === 'running' ? 'None so far.' : 'None: every entry that was read can be a user.'}</p>
        }
      />
    </Section>
  )
}
