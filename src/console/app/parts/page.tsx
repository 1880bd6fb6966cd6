import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { settings } from '../settings.ts'

interface PageProps {
  readonly title: string
  /** Where it stands: links to what it is a part of. */
  readonly above?: ComponentChildren
  /** Beside the title: buttons of acts. */
  readonly acts?: ComponentChildren
  readonly children?: ComponentChildren
}

/** A view with its title, which the tab has too. */
export function Page({ title, above, acts, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} – ${settings.name}`
  }, [title])
  return (
    <>
      {above && <p class="above">{above}</p>}
      <div class="title">
        <h1 tabIndex={-1}>
          <bdi>{title}</bdi>
        </h1>
        {acts && <div class="acts">{acts}</div>}
      </div>
      {children}
    </>
  )
}

/** A part of a view. */
export function Section({ title, acts, children }: PageProps) {
  return (
    <section>
      <div class="title">
        <h2>{title}</h2>
        {acts && <div class="acts">{acts}</div>}
      </div>
      {children}
    </section>
  )
}
