import type { ComponentChildren } from 'preact'

/** What to do, one after the other. */
export function Steps({ children }: { readonly children: ComponentChildren }) {
  return <ol class="steps">{children}</ol>
}

interface StepProps {
  readonly title: string
  /** Where it is done, or looked at. */
  readonly to: string
  readonly does: string
  /** What it will do. */
  readonly children: ComponentChildren
}

/** One of them: it says what it does, and leads there. */
export function Step({ title, to, does, children }: StepProps) {
  return (
    <li>
      <h2>{title}</h2>
      <div>{children}</div>
      <p>
        <a class="button" href={to}>
          {does}
        </a>
      </p>
    </li>
  )
}
