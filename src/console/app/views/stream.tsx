import { api, readOf, type ShownStream } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { ClientLink } from '../parts/links.tsx'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'
import { StreamActs } from './stream-acts.tsx'

/** One stream, and how its delivery goes. */
export function StreamView({ id }: { readonly id: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/streams/{id}', { params: { path: { id } }, signal })),
    [id],
  )
  const stream = read.value?.value
  return (
    <Page
      title={stream ? (stream.description ?? `Stream of ${stream.client_id}`) : 'Event stream'}
      above={<a href={href('/streams')}>Event streams</a>}
      acts={stream && <ActButtons stream={stream} />}
    >
      <Reading of={read}>
        {found => (
          <>
            <Delivery stream={found.value} />
            <About stream={found.value} />
            <StreamActs of={found} again={read.again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function ActButtons({ stream: { status } }: { readonly stream: ShownStream }) {
  return (
    <>
      {status === 'enabled' ? (
        <ActButton act="pause">Pause</ActButton>
      ) : (
        <ActButton act="resume">Go on</ActButton>
      )}
      {status !== 'disabled' && <ActButton act="verify">Send a verification</ActButton>}
      <ActButton act="change">Change</ActButton>
      <ActButton act="delete" isDanger>
        Delete
      </ActButton>
    </>
  )
}

/** Whether events arrive, and what to do where they do not. */
function Delivery({ stream }: { readonly stream: ShownStream }) {
  const { status, status_reason, waiting, oldest_at, failing_since_at, last_error } = stream
  return (
    <>
      {status !== 'enabled' && (
        <p class="problem">
          {status === 'paused'
            ? 'Paused: what happens is held for a week, and delivered when it goes on.'
            : 'Disabled: what happens is not told to it, and not held either.'}
          {status_reason !== null && ` ${status_reason}`}
        </p>
      )}
      {failing_since_at !== null && (
        <p class="warning">
          Its receiver has taken nothing since <Time at={failing_since_at} />:{' '}
          {last_error ?? 'no reason known'}. Each event is tried for three days.
        </p>
      )}
      <Facts
        facts={[
          ['Events that wait', waiting === 0 ? 'none' : String(waiting)],
          ['The oldest of them', oldest_at === null ? undefined : <Time at={oldest_at} />],
        ]}
      />
    </>
  )
}

function About({ stream }: { readonly stream: ShownStream }) {
  const { client_id, aud, method, endpoint_url, has_authorization, events, subjects, created_at } = stream
  return (
    <Facts
      facts={[
        ['Client of its receiver', <ClientLink id={client_id} />],
        [method === 'push' ? 'Pushed to' : 'Fetched at', endpoint_url],
        ['Pushes have an Authorization', method === 'push' ? (has_authorization ? 'yes' : 'no') : undefined],
        ['Its aud', aud],
        ['It is told of', events.join(', ') || 'nothing'],
        [
          'Whom it is about',
          subjects === 'ALL'
            ? 'all users, but those that its receiver has removed'
            : 'the users that its receiver has added',
        ],
        ['Added', <Time at={created_at} />],
      ]}
    />
  )
}
