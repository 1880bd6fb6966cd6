import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

interface FieldProps {
  readonly label: string
  readonly name: string
  readonly defaultValue?: string
  readonly hint?: ComponentChildren
  /** Several lines. */
  readonly lines?: number
  /** One of these. */
  readonly choices?: readonly string[]
  /** Of a field of one line. */
  readonly type?: 'text' | 'email' | 'tel' | 'url' | 'number' | 'password' | 'date'
  readonly required?: boolean
  readonly maxLength?: number
  readonly pattern?: string
  /** Says what the pattern takes. */
  readonly title?: string
  readonly min?: number | undefined
  readonly max?: number | undefined
}

/** A field of a form with its label. */
export function Field({
  label,
  name,
  hint,
  lines,
  choices,
  type = 'text',
  defaultValue = '',
  ...input
}: FieldProps) {
  const id = useId()
  const common = { id, name, 'aria-describedby': hint ? `${id}-hint` : undefined }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {choices ? (
        <select {...common} data-was={defaultValue}>
          {choices.map(choice => (
            <option key={choice} selected={choice === defaultValue}>
              {choice}
            </option>
          ))}
        </select>
      ) : lines !== undefined ? (
        <textarea {...common} rows={lines} spellcheck={false} defaultValue={defaultValue} />
      ) : (
        <input
          {...common}
          autocomplete={type === 'password' ? 'new-password' : 'off'}
          {...input}
          type={type as 'text'}
          defaultValue={defaultValue}
        />
      )}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  )
}

interface FileFieldProps {
  readonly label: string
  readonly name: string
  /** The ends of names that it offers. */
  readonly accept: string
  readonly hint: ComponentChildren
}

/** A file of the reader's machine. */
export function FileField({ label, name, accept, hint }: FileFieldProps) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} name={name} type="file" accept={accept} required aria-describedby={`${id}-hint`} />
      <p class="hint" id={`${id}-hint`}>
        {hint}
      </p>
    </div>
  )
}

interface CheckProps {
  readonly label: string
  readonly name: string
  readonly isOn?: boolean
  readonly hint?: ComponentChildren
}

/** Something that is so or not. */
export function Check({ label, name, isOn = false, hint }: CheckProps) {
  const id = useId()
  return (
    <div class="field">
      <label class="check">
        <input
          type="checkbox"
          name={name}
          value="true"
          defaultChecked={isOn}
          aria-describedby={hint ? `${id}-hint` : undefined}
        />{' '}
        {label}
      </label>
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  )
}
