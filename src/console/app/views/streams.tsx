import { api, documentOf, type Stream } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { go, href } from '../router.ts'
import { readSettings, StreamFields } from './stream-form.tsx'

/** The receivers that are told what happens to users and sessions (SSF 1.0). */
export function StreamsView() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/streams', { signal })), [])
  return (
    <Page title="Event streams" acts={<ActButton act="create">Add a stream</ActButton>}>
      <p class="quiet">
        Other servers that are told when sessions end, or something happens to an account (Shared Signals).
      </p>
      <Reading of={read}>
        {({ items }) => (
          <RowList
            label="Streams"
            items={items}
            keyOf={stream => stream.stream_id}
            row={stream => <StreamRow stream={stream} />}
            none={<NoStreams />}
          />
        )}
      </Reading>
      <Create />
    </Page>
  )
}

function StreamRow({ stream }: { readonly stream: Stream }) {
  const { stream_id: id, client_id, description, method, endpoint_url, status, status_reason } = stream
  return (
    <>
      <a class="row" href={href(`/streams/${id}`)}>
        <bdi>{description ?? client_id}</bdi>
      </a>
      <span>
        {client_id}, {method === 'push' ? `pushed to ${endpoint_url}` : 'fetched by its receiver'}
      </span>
      {status !== 'enabled' && (
        <span>
          <span class="tag bad">{status}</span> {status_reason}
        </span>
      )}
    </>
  )
}

function NoStreams() {
  return (
    <div class="empty">
      <p>There are none yet. A receiver makes one by itself, or you do it here, or on the host:</p>
      <pre>
        <code>mintmark stream create --client ID --push https://orders.example/events</code>
      </pre>
    </div>
  )
}

function Create() {
  return (
    <Act
      act="create"
      title="Add a stream"
      does="Add"
      run={async form => {
        const body = { client_id: textOf(form, 'client_id'), ...readSettings(form) }
        const { stream_id: id } = await documentOf(api.POST('/admin/v1/streams', { body }))
        go(href(`/streams/${id}`), { replace: true })
        return 'The stream was added. Send a verification to see whether events arrive.'
      }}
    >
      <Field
        label="Client"
        name="client_id"
        required
        maxLength={128}
        hint="The id of the receiver’s client, which has to be that of a resource server"
      />
      <StreamFields />
    </Act>
  )
}
