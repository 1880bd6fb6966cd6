import { useEffect, useRef } from 'preact/hooks'
import { query, setQuery } from '../router.ts'

interface SearchProps {
  readonly label: string
  /** Its name in the address. */
  readonly name?: string
  readonly hint?: string
}

/** Milliseconds of rest after which what is typed counts. */
const restMs = 150

/** Answers while somebody types, by the address. */
export function Search({ label, name = 'search', hint }: SearchProps) {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const field = useRef<HTMLInputElement>(null)
  const value = query.value.get(name) ?? ''
  useEffect(() => () => clearTimeout(timer.current), [])
  // Another address, by the back button say, has another text.
  useEffect(() => {
    if (field.current && field.current !== document.activeElement) field.current.value = value
  }, [value])
  const change = (text: string) => {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => setQuery({ [name]: text.trim() }, { replace: true }), restMs)
  }
  return (
    <form role="search" class="search" onSubmit={event => event.preventDefault()}>
      <label for={`search-${name}`}>{label}</label>
      <input
        id={`search-${name}`}
        ref={field}
        type="search"
        autocomplete="off"
        spellcheck={false}
        defaultValue={value}
        onInput={event => change(event.currentTarget.value)}
        aria-describedby={hint ? `search-${name}-hint` : undefined}
      />
      {hint && (
        <p class="hint" id={`search-${name}-hint`}>
          {hint}
        </p>
      )}
    </form>
  )
}
