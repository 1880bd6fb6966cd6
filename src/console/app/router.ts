import { computed, signal } from '@preact/signals'
import { settings } from './settings.ts'

/*
 * The address says what is seen: its path which view, and its query the filters and the act that is under
 * way. So each state can be kept as a bookmark, sent to somebody, and come back to after a log-in.
 */

const prefix = `${settings.base}/console`

const address = signal(new URL(location.href))

/** Below the console: `/users`, say. */
export const path = computed(() => address.value.pathname.slice(prefix.length).replace(/\/$/, '') || '/')

export const query = computed(() => address.value.searchParams)

/** A link into the console. */
export function href(path: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(parameters).toString()
  return `${prefix}${path === '/' ? '' : path}${query === '' ? '' : `?${query}`}`
}

export function go(to: string, { replace = false } = {}): void {
  history[replace ? 'replaceState' : 'pushState'](null, '', to)
  address.value = new URL(location.href)
}

/** Changes filters of the view: an empty one is left out. */
export function setQuery(changes: Readonly<Record<string, string>>, options?: { replace: boolean }): void {
  const next = new URLSearchParams(query.value)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') next.delete(name)
    else next.set(name, value)
  }
  go(href(path.value, Object.fromEntries(next)), options)
}

/** What the history says of an entry that was made by opening an act. */
const ofAct = 'act'

/** Opens an act of this view, which the back button closes. */
export function openAct(act: string): void {
  setQuery({ act })
  history.replaceState(ofAct, '')
}

/** Closes it: where it was opened here, by a step back, so that the history has the view once. */
export function closeAct(): void {
  if (history.state === ofAct) history.back()
  else setQuery({ act: '' }, { replace: true })
}

/** Follows the address, and links to views, from now on. */
export function startRouter(): void {
  address.value = new URL(location.href)
  window.addEventListener('popstate', () => (address.value = new URL(location.href)))
  document.addEventListener('click', event => {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    if (!link || !isPlain || event.defaultPrevented || link.target !== '') return
    if (link.origin !== location.origin || !isOurs(link.pathname) || link.hash !== '') return
    event.preventDefault()
    go(link.href)
  })
}

function isOurs(pathname: string): boolean {
  return pathname === prefix || pathname.startsWith(`${prefix}/`)
}

/** The parameters of a path of this pattern: `/users/:sub`; undefined for another one. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const [wanted, given] = [pattern, path].map(text => text.split('/'))
  if (!wanted || !given || wanted.length !== given.length) return undefined
  const parameters: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    const value = given[i] ?? ''
    if (!part.startsWith(':')) {
      if (part !== value) return undefined
      continue
    }
    const decoded = decode(value)
    if (decoded === undefined) return undefined
    parameters[part.slice(1)] = decoded
  }
  return parameters
}

/** Undefined for a link that was cut in the middle of a character: it leads to no view. */
function decode(value: string): string | undefined {
  try {
    return decodeURIComponent(value)
  } catch {
    return undefined
  }
}
