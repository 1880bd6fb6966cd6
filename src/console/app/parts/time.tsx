import { now } from '../auth/proof.ts'
import { relativeText } from './words.ts'

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

interface TimeProps {
  /** RFC 3339; null for none. */
  readonly at: string | null
  /** What stands for none. */
  readonly none?: string
}

/** A moment: how long ago it was, and when exactly, in the reader's time zone. */
export function Time({ at, none = 'never' }: TimeProps) {
  if (at === null) return <>{none}</>
  const date = new Date(at)
  return (
    <time dateTime={at}>
      {relativeText(date.getTime() / 1000 - now())} <span class="quiet">{exact.format(date)}</span>
    </time>
  )
}
