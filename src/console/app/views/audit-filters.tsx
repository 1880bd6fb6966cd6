import { now } from '../auth/proof.ts'
import { eventWords } from '../parts/events.ts'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { query, setQuery } from '../router.ts'

/** As the API takes it. */
export interface AuditQuery {
  readonly event?: string
  readonly sub?: string
  readonly client_id?: string
  readonly sid?: string
  readonly actor?: string
  readonly request_id?: string
  readonly since?: string
  readonly until?: string
}

const everything = 'everything'

/** By their names in the address. */
const texts = [
  ['sub', 'User (sub)'],
  ['client_id', 'Client'],
  ['sid', 'Session (sid)'],
  ['actor', 'Done by'],
  ['request_id', 'Request'],
] as const

/** So far back it is looked where nothing else bounds it. */
export const defaultDays = 30

const day = 86_400

/** What the address asks for. `isBounded` where it looks back so many days alone. */
export function readFilters(): { query: AuditQuery; isBounded: boolean } {
  const given = (name: string) => query.value.get(name) ?? ''
  const filters: Record<string, string> = {}
  for (const [name] of texts) if (given(name) !== '') filters[name] = given(name)
  const events = Object.keys(eventWords[given('about')] ?? {})
  if (events.length > 0) filters['event'] = events.join(',')
  const isBounded = Object.keys(filters).length > 0 && !filters['sub'] && given('from') === ''
  if (isBounded) filters['since'] = timeOf(Math.floor(now() / day) * day - defaultDays * day)
  if (given('from') !== '') filters['since'] = `${given('from')}T00:00:00Z`
  if (given('to') !== '') filters['until'] = timeOf(Date.parse(`${given('to')}T00:00:00Z`) / 1000 + day)
  return { query: filters, isBounded }
}

export function timeOf(seconds: number): string {
  return Number.isFinite(seconds) ? new Date(seconds * 1000).toISOString() : ''
}

/** The filters, which are in the address: so a view of the trail can be sent to somebody. */
export function AuditFilters() {
  const given = (name: string) => query.value.get(name) ?? ''
  const names = ['about', 'from', 'to', ...texts.map(([name]) => name)]
  return (
    <form
      class="filters"
      role="search"
      onSubmit={event => {
        event.preventDefault()
        const form = new FormData(event.currentTarget)
        const entries = names.map(name => [name, textOf(form, name)] as const)
        setQuery(Object.fromEntries(entries.map(([name, text]) => [name, text === everything ? '' : text])))
      }}
    >
      <Field
        label="About"
        name="about"
        choices={[everything, ...Object.keys(eventWords)]}
        defaultValue={given('about')}
      />
      <Field label="From (UTC)" name="from" type="date" defaultValue={given('from')} />
      <Field label="To (UTC)" name="to" type="date" defaultValue={given('to')} />
      <details open={texts.some(([name]) => given(name) !== '')}>
        <summary>Of one user, client, session, person or request</summary>
        <div class="filters">
          {texts.map(([name, label]) => (
            <Field key={name} label={label} name={name} defaultValue={given(name)} />
          ))}
        </div>
      </details>
      <div class="acts">
        <button>Show</button>
        <button
          type="button"
          class="second"
          onClick={() => setQuery(Object.fromEntries(names.map(name => [name, ''])))}
        >
          Show everything
        </button>
      </div>
    </form>
  )
}
