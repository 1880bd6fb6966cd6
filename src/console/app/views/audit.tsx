import { useEffect, useMemo, useState } from 'preact/hooks'
import { api, documentOf, type AuditEntry } from '../api/api.ts'
import { followAudit, type LiveState } from '../api/events.ts'
import { now } from '../auth/proof.ts'
import { ActButton } from '../parts/act.tsx'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { query as address } from '../router.ts'
import { AuditExport } from './audit-export.tsx'
import { AuditFilters, defaultDays, readFilters, timeOf, type AuditQuery } from './audit-filters.tsx'
import { AuditRow } from './audit-row.tsx'

/** What has happened, the newest first, and what happens now. */
export function AuditView() {
  const [times, setTimes] = useState(0)
  const filters = ['about', 'from', 'to', 'sub', 'client_id', 'sid', 'actor', 'request_id']
  const by = filters.map(name => address.value.get(name) ?? '').join('\n')
  const { query, isBounded } = useMemo(readFilters, [by])
  return (
    <Page title="What happened" acts={<ActButton act="export">Export as CSV</ActButton>}>
      <AuditFilters key={by} />
      {isBounded && <p class="quiet">Of the last {defaultDays} days: give a day to look further back.</p>}
      <Trail key={`${by} ${times}`} query={query} again={() => setTimes(times + 1)} />
      <AuditExport query={query} />
    </Page>
  )
}

/** So many new entries are kept on the screen. */
const liveMax = 200

interface TrailProps {
  readonly query: AuditQuery
  readonly again: () => void
}

/** The stream is opened first, so that nothing is lost between it and the list below. */
function Trail({ query, again }: TrailProps) {
  const isPast = query.until !== undefined
  const [state, setState] = useState<LiveState>('connecting')
  const [until, setUntil] = useState(query.until)
  const [fresh, setFresh] = useState<{ entries: readonly AuditEntry[]; dropped: boolean }>(none)
  const [listed, setListed] = useState<ReadonlySet<string>>(new Set())
  useEffect(() => {
    if (isPast) return
    const end = new AbortController()
    const { since: _since, until: _until, ...wanted } = query
    void followAudit({
      query: wanted,
      signal: end.signal,
      onState: state => {
        setState(state)
        // From then on the list is the same, however often it is read.
        setUntil(until => until ?? timeOf(now() + 2))
      },
      onEntries: entries =>
        setFresh(fresh => {
          const all = [...entries.toReversed(), ...fresh.entries]
          return { entries: all.slice(0, liveMax), dropped: fresh.dropped || all.length > liveMax }
        }),
    })
    return () => end.abort()
  }, [])
  const shown = fresh.entries.filter(({ id }) => !listed.has(id))
  return (
    <>
      {!isPast && (
        <p class="live" data-state={state} role="status">
          {liveTexts[state]}
        </p>
      )}
      {shown.length > 0 && (
        <ul class="rows" aria-label="New entries">
          {shown.map(entry => (
            <li key={entry.id}>
              <AuditRow entry={entry} />
            </li>
          ))}
        </ul>
      )}
      {fresh.dropped && (
        <p class="gap">
          There are more between these and those below. <button onClick={again}>Read all anew</button>
        </p>
      )}
      {until === undefined ? (
        <p class="quiet waiting">Loading…</p>
      ) : (
        <Pages<AuditEntry>
          label="Entries"
          by={until}
          read={async (page, signal) => {
            const params = { query: { ...query, until, ...page } }
            const read = await documentOf(api.GET('/admin/v1/audit', { params, signal }))
            if (page.after === undefined) setListed(new Set(read.items.map(({ id }) => id)))
            return read
          }}
          keyOf={({ id }) => id}
          row={entry => <AuditRow entry={entry} />}
          empty={<p>Nothing of that kind has happened.</p>}
        />
      )}
    </>
  )
}

const none = { entries: [], dropped: false }

const liveTexts: Readonly<Record<LiveState, string>> = {
  connecting: 'Connecting…',
  live: 'Live: new entries appear by themselves.',
  waiting: 'Not live now: connecting again…',
}
