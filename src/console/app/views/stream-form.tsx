import type { Stream } from '../api/api.ts'
import { Check, Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'

type EventName = Stream['events'][number]

/** All that a stream may be of, with what each means. */
const eventTexts: Readonly<Record<EventName, string>> = {
  'session-revoked': 'A session has ended before its time',
  'credential-change': 'A password or another factor was set, changed or removed',
  'assurance-level-change': 'Somebody has proved more, or less, than before',
  'account-disabled': 'An account was disabled',
  'account-enabled': 'An account was enabled again',
  'account-purged': 'An account was deleted',
}

const eventNames = Object.keys(eventTexts) as readonly EventName[]

/** What can be said of a stream, new or not. */
export function StreamFields({ stream }: { readonly stream?: Stream }) {
  return (
    <>
      <Field
        label="Address"
        name="push"
        type="url"
        maxLength={2000}
        defaultValue={stream?.method === 'push' ? stream.endpoint_url : ''}
        hint="Where events are pushed to. Without one the receiver fetches them"
      />
      <Field
        label="Authorization"
        name="authorization"
        type="password"
        maxLength={4096}
        hint={
          stream?.has_authorization
            ? 'The header of each push. Left empty, it stays as long as the address does'
            : 'The header of each push, such as Bearer and a token of the receiver. It is never shown again'
        }
      />
      <Field
        label="Description"
        name="description"
        maxLength={200}
        defaultValue={stream?.description ?? ''}
        hint="What it is for"
      />
      <fieldset>
        <legend>It is told of</legend>
        {eventNames.map(name => (
          <Check
            key={name}
            label={name}
            name={name}
            isOn={stream?.events.includes(name) ?? true}
            hint={eventTexts[name]}
          />
        ))}
      </fieldset>
    </>
  )
}

/** The settings that the fields have; all events mean those too that a later version knows. */
export function readSettings(form: FormData) {
  const events = eventNames.filter(name => textOf(form, name) === 'true')
  const authorization = textOf(form, 'authorization')
  return {
    push: textOf(form, 'push') || null,
    description: textOf(form, 'description') || null,
    events: events.length === eventNames.length ? null : events,
    ...(authorization !== '' && { authorization }),
  }
}
