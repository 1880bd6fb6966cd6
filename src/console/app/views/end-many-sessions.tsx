import { api, documentOf } from '../api/api.ts'
import { Act } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'

const day = 86_400

/** Which sessions, as the form says it, by the parameter of the API. */
const choices = {
  'not used for so many days': 'idle_for',
  'begun more than so many days ago': 'older_than',
} as const

const everyone = 'every session there is'

/** Ends many sessions at once; how far that has come is shown. */
export function EndManySessions({ again }: { readonly again: () => void }) {
  return (
    <Act
      act="end-many"
      title="End many sessions"
      does="End them"
      isDanger
      onDone={again}
      run={form => {
        const choice = textOf(form, 'choice') as keyof typeof choices | typeof everyone
        const seconds = Number(textOf(form, 'days')) * day
        const body = choice === everyone ? { all: true as const } : { [choices[choice]]: seconds }
        return documentOf(api.POST('/admin/v1/sessions/end', { body }))
      }}
    >
      <p>
        Everybody concerned has to log in again, you too where it is every session. A server ends one after
        the other; this says how far it has come.
      </p>
      <Field label="Sessions" name="choice" choices={[...Object.keys(choices), everyone]} />
      <Field label="Days" name="days" type="number" min={1} max={3650} required defaultValue="30" />
    </Act>
  )
}
