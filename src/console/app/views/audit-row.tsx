import type { AuditEntry } from '../api/api.ts'
import { isAlarm, textOfEvent } from '../parts/events.ts'
import { ClientLink, GroupLink } from '../parts/links.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'

/** One entry: what has happened, to whom, and by whom. */
export function AuditRow({ entry }: { readonly entry: AuditEntry }) {
  const { at, event, count, detail, address, request_id, actor } = entry
  return (
    <>
      <span class="row">
        {textOfEvent(event)}
        {count > 1 && <> ({count.toLocaleString('en')} times)</>}
        {isAlarm(event) && (
          <>
            {' '}
            <span class="tag bad">look at this</span>
          </>
        )}
      </span>
      <span class="entry">
        <About entry={entry} />
        <span>
          by <Actor actor={actor} />
        </span>
        {address !== null && <span>from {address}</span>}
        {request_id !== null && (
          <span>
            request <a href={href('/explain', { request: request_id })}>{request_id}</a>
          </span>
        )}
        {Object.entries(detail).map(([name, value]) => (
          <span key={name} class="quiet">
            {name.replaceAll('_', ' ')}: <bdi>{textOf(value)}</bdi>
          </span>
        ))}
      </span>
      <Time at={at} />
    </>
  )
}

/** Whom it is about, each with the way there. */
function About({ entry: { sub, username, client_id, sid, detail, event } }: { readonly entry: AuditEntry }) {
  const { kid, group, claim } = detail
  return (
    <>
      {sub !== null && (
        <span>
          user{' '}
          <a href={href(`/users/${sub}`)}>
            <bdi>{username ?? shortId(sub)}</bdi>
          </a>
        </span>
      )}
      {client_id !== null && (
        <span>
          client <ClientLink id={client_id} />
        </span>
      )}
      {sid !== null && (
        <span>
          session <a href={href(`/sessions/${sid}`)}>{shortId(sid)}</a>
        </span>
      )}
      {typeof group === 'string' && (
        <span>
          group <GroupLink name={group} />
        </span>
      )}
      {typeof claim === 'string' && (
        <span>
          claim <a href={href(`/claims/${encodeURIComponent(claim)}`)}>{claim}</a>
        </span>
      )}
      {(typeof kid === 'string' || event.startsWith('key_')) && (
        <span>
          <a href={href('/keys')}>the keys</a>
        </span>
      )}
    </>
  )
}

/** `user SUB` and `client ID` are led to. */
export function Actor({ actor }: { readonly actor: string }) {
  const [, kind, id = ''] = /^(user|client) (.+)$/.exec(actor) ?? []
  if (kind === undefined) return <bdi>{actor}</bdi>
  return (
    <>
      {kind} {kind === 'client' ? <ClientLink id={id} /> : <a href={href(`/users/${id}`)}>{shortId(id)}</a>}
    </>
  )
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))

/** The end of an id, since ids that are made at the same time begin alike. */
const shortId = (id: string) => `…${id.slice(-8)}`
