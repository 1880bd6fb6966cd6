import { useState } from 'preact/hooks'
import { api, documentOf } from '../api/api.ts'
import { Act } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { SessionsWillEnd } from '../parts/will-end.tsx'

const day = 86_400

/** Which sessions, as the form says it, by the parameter of the API. */
const choices = {
  'not used for so many days': 'idle_for',
  'begun more than so many days ago': 'older_than',
} as const

const everyone = 'every session there is'

/** Undefined for every session. */
function filterOf(form: FormData): { readonly idle_for?: number; readonly older_than?: number } | undefined {
  const choice = textOf(form, 'choice')
  if (choice === everyone) return undefined
  return { [choices[choice as keyof typeof choices]]: Number(textOf(form, 'days')) * day }
}

/** Ends many sessions at once; how far that has come is shown. */
export function EndManySessions({ again }: { readonly again: () => void }) {
  const [chosen, setChosen] = useState<ReturnType<typeof filterOf>>({ idle_for: 30 * day })
  return (
    <Act
      act="end-many"
      title="End many sessions"
      does="End them"
      isDanger
      onDone={again}
      run={form => documentOf(api.POST('/admin/v1/sessions/end', { body: filterOf(form) ?? { all: true } }))}
    >
      <p>
        Everybody concerned has to log in again, you too where it is every session. A server ends one after
        the other; this says how far it has come.
      </p>
      <div
        onInput={event => {
          const form = event.currentTarget.closest('form')
          if (form?.checkValidity()) setChosen(filterOf(new FormData(form)))
        }}
      >
        <Field label="Sessions" name="choice" choices={[...Object.keys(choices), everyone]} />
        <Field label="Days" name="days" type="number" min={1} max={3650} required defaultValue="30" />
      </div>
      {chosen?.idle_for === undefined ? (
        <SessionsWillEnd of={chosen ?? {}} />
      ) : (
        <p class="quiet">How many that are is known once all have been looked at: the work tells.</p>
      )}
    </Act>
  )
}
