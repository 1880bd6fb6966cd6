import { api, documentOf, type Job } from '../api/api.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Check, FileField } from '../parts/field.tsx'
import { fileOf, textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Time } from '../parts/time.tsx'
import { counted } from '../parts/words.ts'
import { go, href } from '../router.ts'
import { Actor } from './audit-row.tsx'

/** Files of users that were sent, the newest first. */
export function ImportsView() {
  return (
    <Page
      title="Imports"
      above={<a href={href('/users')}>Users</a>}
      acts={<ActButton act="import">Import a file</ActButton>}
    >
      <p class="quiet">
        All the users of another system at once, with their password hashes: nobody has to reset a password.
        Imports are kept here for 7 days after their end.
      </p>
      <Pages<Job>
        label="Imports"
        by=""
        read={async (page, signal) => {
          const { items, next } = await documentOf(
            api.GET('/admin/v1/jobs', { params: { query: page }, signal }),
          )
          return { items: items.filter(({ act }) => act === 'import_users'), next }
        }}
        keyOf={({ id }) => id}
        row={job => <ImportRow job={job} />}
        empty={
          <>
            <p>
              Nothing was imported in the last 7 days. Send a file here, or for more than 512 MiB on the host:
            </p>
            <pre>
              <code>mintmark user import users.jsonl --dry-run</code>
            </pre>
          </>
        }
      />
      <ImportFile />
    </Page>
  )
}

/** Whether it only finds out what would be refused. */
export const isDryRun = ({ choice }: Job) => choice['dry_run'] === true

/** How an import is told from others: by what it does, and the size of its file. */
export function nameOfImport(job: Job): string {
  const size = Number(job.choice['bytes'] ?? 0)
  const of = size > 0 ? ` of ${sizeText(size)}` : ''
  return `${isDryRun(job) ? 'Dry run' : 'Import'}${of}`
}

function sizeText(bytes: number): string {
  if (bytes < 1024) return counted(bytes, 'byte')
  const isSmall = bytes < 1024 * 1024
  const size = bytes / (isSmall ? 1024 : 1024 * 1024)
  return `${size.toLocaleString('en', { maximumFractionDigits: 1 })} ${isSmall ? 'KiB' : 'MiB'}`
}

function ImportRow({ job }: { readonly job: Job }) {
  const { id, state, refused, actor, created_at } = job
  return (
    <>
      <a class="row" href={href(`/imports/${id}`)}>
        {nameOfImport(job)}
      </a>
      <span>
        Begun <Time at={created_at} /> by <Actor actor={actor} />
      </span>
      <span>
        <span class="tag">{state}</span>
        {(refused ?? 0) > 0 && <span class="tag bad">{refused?.toLocaleString('en')} refused</span>}
      </span>
    </>
  )
}

/** Media types by the ends of file names. */
const types = { csv: 'text/csv', json: 'application/json' } as const

function typeOf({ name }: File): 'text/csv' | 'application/json' | 'application/jsonl' {
  const [, ending = ''] = /\.([a-z]+)$/i.exec(name) ?? []
  return types[ending.toLowerCase() as keyof typeof types] ?? 'application/jsonl'
}

function ImportFile() {
  return (
    <Act
      act="import"
      title="Import users"
      does="Send the file"
      run={async form => {
        const file = fileOf(form, 'file')
        const query = textOf(form, 'dry_run') === 'true' ? { dry_run: true } : {}
        const sent = api.POST('/admin/v1/users/imports', {
          params: { query },
          body: file,
          bodySerializer: body => body,
          headers: { 'content-type': typeOf(file) },
        })
        const { id } = await documentOf(sent)
        go(href(`/imports/${id}`), { replace: true })
        return 'The file has arrived.'
      }}
    >
      <FileField
        label="File"
        name="file"
        accept=".jsonl,.ndjson,.csv,.json"
        hint={
          <>
            A JSON object in each line; or .csv with a header; or .json, also as Keycloak exports it. Each has
            a <code>username</code>, and what there is of <code>email</code>, <code>roles</code>,{' '}
            <code>password_hash</code>.
          </>
        }
      />
      <Check
        label="Dry run"
        name="dry_run"
        isOn
        hint="Changes nothing, and says which entries would be refused and why: of up to 32 MiB"
      />
      <p>
        An import adds every user of the file who can be one, and names each other entry with its reason. It
        goes on without you, can be stopped, and changes nobody who is here already.
      </p>
    </Act>
  )
}
