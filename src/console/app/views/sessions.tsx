import { useState } from 'preact/hooks'
import { api, documentOf, type Session } from '../api/api.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { ActButton } from '../parts/act.tsx'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Time } from '../parts/time.tsx'
import { href, query, setQuery } from '../router.ts'
import { EndManySessions } from './end-many-sessions.tsx'

/** All sessions, the oldest first. */
export function SessionsView() {
  const ended = query.value.get('ended') === 'true'
  const [times, setTimes] = useState(0)
  return (
    <Page
      title="Sessions"
      acts={
        <ActButton act="end-many" isDanger>
          End many
        </ActButton>
      }
    >
      <p class="quiet">
        A session is one log-in of somebody to one app. The oldest come first; for those of one person, look
        at the <a href={href('/users')}>user</a>.
      </p>
      <label class="check">
        <input
          type="checkbox"
          checked={ended}
          onChange={event =>
            setQuery({ ended: event.currentTarget.checked ? 'true' : '' }, { replace: true })
          }
        />{' '}
        Also those that have ended
      </label>
      <Pages<Session>
        label="Sessions"
        by={`${ended} ${times}`}
        read={(page, signal) =>
          documentOf(
            api.GET('/admin/v1/sessions', {
              params: { query: { ...(ended && { ended }), ...page } },
              signal,
            }),
          )
        }
        keyOf={session => session.sid}
        row={session => <SessionRow session={session} />}
        empty={
          <p>
            There are no sessions: nobody has logged in to an app yet.{' '}
            {maySeeAll.value && <a href={href('/clients')}>Look at the clients</a>}
          </p>
        }
      />
      <EndManySessions again={() => setTimes(times + 1)} />
    </Page>
  )
}

function SessionRow({ session }: { readonly session: Session }) {
  const { sid, username, sub, client_id, state, rotated_at, auth_time } = session
  return (
    <>
      <a class="row" href={href(`/sessions/${sid}`)}>
        <bdi>{username ?? (sub === null ? 'a machine' : 'a user who is gone')}</bdi> in <bdi>{client_id}</bdi>
      </a>
      <span>
        {state !== 'living' && <span class="tag">{state}</span>} Used <Time at={rotated_at} />; logged in{' '}
        <Time at={auth_time} />.
      </span>
    </>
  )
}
