import { api, documentOf, type AuditEntry } from '../api/api.ts'
import { now } from '../auth/proof.ts'
import { Pages } from '../parts/pages.tsx'
import { href } from '../router.ts'
import { timeOf } from './audit-filters.tsx'
import { AuditRow } from './audit-row.tsx'

/** So far back it is looked for: a request that somebody asks about was not long ago. */
const days = 7

/** What the audit trail knows of a request, and where the rest is. */
export function ExplainedRequest({ id }: { readonly id: string }) {
  const since = timeOf(now() - days * 86_400)
  return (
    <>
      <Pages<AuditEntry>
        label={`What is known of ${id}`}
        by={id}
        read={(page, signal) => {
          const query = { request_id: id, since, ...page }
          return documentOf(api.GET('/admin/v1/audit', { params: { query }, signal }))
        }}
        keyOf={entry => entry.id}
        row={entry => <AuditRow entry={entry} />}
        empty={
          <p>
            The audit trail has nothing of it in the last {days} days: it changed nothing, and was no refused
            log-in. <a href={href('/audit', { request_id: id })}>Look further back</a>, or ask the log:
          </p>
        }
      />
      <p class="gap">The log of the server says more, step by step. On the host:</p>
      <pre>
        <code>mintmark explain {id} --log FILE</code>
      </pre>
    </>
  )
}
