import { signal } from '@preact/signals'

/** What screen readers say next, and a line at the foot of the screen shows for a while. */
export const spoken = signal('')

let timer: ReturnType<typeof setTimeout> | undefined

/** Tells that something is done. */
export function speak(text: string): void {
  clearTimeout(timer)
  spoken.value = text
  timer = setTimeout(() => (spoken.value = ''), 8000)
}
