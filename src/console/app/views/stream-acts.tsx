import { api, documentOf, type Read, type ShownStream } from '../api/api.ts'
import { Act } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { go, href } from '../router.ts'
import { readSettings, StreamFields } from './stream-form.tsx'

interface StreamActsProps {
  readonly of: Read<ShownStream>
  readonly again: () => void
}

/** All that can be done to a stream. */
export function StreamActs({ of, again }: StreamActsProps) {
  return (
    <>
      <Pause of={of} again={again} />
      <Resume of={of} again={again} />
      <Verify of={of} again={again} />
      <Change of={of} again={again} />
      <Delete of={of} again={again} />
    </>
  )
}

const paramsOf = ({ value: { stream_id: id }, etag }: Read<ShownStream>) => ({
  path: { id },
  header: { 'if-match': etag },
})

async function setStatus(
  of: Read<ShownStream>,
  body: { readonly status: ShownStream['status']; readonly reason?: string },
): Promise<void> {
  await documentOf(api.POST('/admin/v1/streams/{id}/status', { params: paramsOf(of), body }))
}

function Pause({ of, again }: StreamActsProps) {
  return (
    <Act
      act="pause"
      title="Pause the stream"
      does="Pause"
      onDone={again}
      run={async form => {
        const reason = textOf(form, 'reason')
        await setStatus(of, { status: 'paused', ...(reason !== '' && { reason }) })
        return 'The stream is paused.'
      }}
    >
      <p>What happens is held for a week, and delivered when it goes on. Its receiver is told.</p>
      <Field label="Reason" name="reason" maxLength={200} hint="Its receiver sees it" />
    </Act>
  )
}

function Resume({ of, again }: StreamActsProps) {
  return (
    <Act
      act="resume"
      title="Go on with the stream"
      does="Go on"
      onDone={again}
      run={async () => {
        await setStatus(of, { status: 'enabled' })
        return 'The stream goes on.'
      }}
    >
      <p>What was held is delivered first. Its receiver is told.</p>
    </Act>
  )
}

function Verify({ of, again }: StreamActsProps) {
  const { path } = paramsOf(of)
  return (
    <Act
      act="verify"
      title="Send a verification"
      does="Send it"
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/streams/{id}/verify', { params: { path } }))
        return 'It is on its way. As soon as it has arrived, nothing waits here.'
      }}
    >
      <p>Its receiver gets an event that says nothing, to see whether events arrive.</p>
    </Act>
  )
}

function Change({ of, again }: StreamActsProps) {
  return (
    <Act
      act="change"
      title="Change the stream"
      does="Change"
      onDone={again}
      run={async form => {
        const body = readSettings(form)
        await documentOf(api.PATCH('/admin/v1/streams/{id}', { params: paramsOf(of), body }))
        return 'The stream was changed. Events that wait for it go the new way.'
      }}
    >
      <StreamFields stream={of.value} />
    </Act>
  )
}

function Delete({ of }: StreamActsProps) {
  const { waiting } = of.value
  return (
    <Act
      act="delete"
      title="Delete the stream"
      does="Delete for good"
      isDanger
      run={async () => {
        await documentOf(api.DELETE('/admin/v1/streams/{id}', { params: paramsOf(of) }))
        go(href('/streams'), { replace: true })
        return 'The stream was deleted.'
      }}
    >
      <p>
        Its receiver hears nothing any more
        {waiting > 0 && <>, and {waiting} events that wait for it are dropped</>}.
      </p>
    </Act>
  )
}
