import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useAnswer } from '../api/use-answer.ts'
import { ProblemNote } from './problem-note.tsx'
import { RowList } from './row-list.tsx'

/** One page of a list of the admin API. */
export interface PageOf<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}

/** Which page: the first, or the one at a cursor. */
export interface PageQuery {
  readonly after?: string
}

interface PagesProps<Item> {
  /** What is listed, for screen readers: `Users`. */
  readonly label: string
  /** Asks for a page, which is a part of the query. */
  readonly read: (page: PageQuery, signal: AbortSignal) => Promise<PageOf<Item>>
  /** Whatever the list depends on: another value begins it anew. */
  readonly by: string
  readonly keyOf: (item: Item) => string
  readonly row: (item: Item) => ComponentChildren
  /** What stands there where there is nothing. */
  readonly empty: ComponentChildren
}

/**
 * A list of any length. Pages are read when the reader comes near them, along the cursors of the API, and
 * forgotten when they are far: of such a page only its height and its cursor are left. So a million rows
 * cost what is on the screen.
 */
export function Pages<Item>(props: PagesProps<Item>) {
  return <Cursors key={props.by} {...props} />
}

function Cursors<Item>(props: PagesProps<Item>) {
  const [cursors, setCursors] = useState<readonly (string | undefined)[]>([undefined])
  return (
    <div class="pages">
      {cursors.map((after, i) => (
        <OnePage
          key={after ?? ''}
          {...props}
          after={after}
          number={i + 1}
          onNext={next =>
            setCursors(cursors => (cursors.length === i + 1 && next !== null ? [...cursors, next] : cursors))
          }
        />
      ))}
    </div>
  )
}

interface OnePageProps<Item> extends PagesProps<Item> {
  readonly after: string | undefined
  readonly number: number
  readonly onNext: (next: string | null) => void
}

/** So far from the screen a page is read, in pixels: a fast scroll should find it there. */
const nearPixels = 1500

/** What a page is thought to be high before it has been there. */
const firstHeight = 400

function OnePage<Item>(props: OnePageProps<Item>) {
  const place = useRef<HTMLDivElement>(null)
  const height = useRef(firstHeight)
  const [isNear, setNear] = useState(false)
  useEffect(() => {
    const { current } = place
    if (!current) return
    const watch = new IntersectionObserver(
      ([entry]) => {
        // The keyboard is in it.
        if (!entry?.isIntersecting && current.contains(document.activeElement)) return
        if (entry && !entry.isIntersecting) height.current = current.offsetHeight
        setNear(entry?.isIntersecting ?? false)
      },
      { rootMargin: `${nearPixels}px 0px` },
    )
    watch.observe(current)
    return () => watch.disconnect()
  }, [])
  return (
    <div ref={place} style={isNear ? {} : { height: `${height.current}px` }}>
      {isNear && <Rows {...props} height={height.current} />}
    </div>
  )
}

function Rows<Item>({
  label,
  read,
  after,
  number,
  onNext,
  keyOf,
  row,
  empty,
  height,
}: OnePageProps<Item> & { readonly height: number }) {
  const { value, problem, again } = useAnswer(
    signal => read(after === undefined ? {} : { after }, signal),
    [],
  )
  useEffect(() => {
    if (value) onNext(value.next)
  }, [value])
  if (problem) return <ProblemNote problem={problem} again={again} />
  if (!value)
    return (
      <p class="quiet waiting" style={{ minHeight: `${height}px` }}>
        Loading…
      </p>
    )
  if (value.items.length === 0)
    return after === undefined && value.next === null ? <div class="empty">{empty}</div> : null
  return (
    <RowList
      label={number === 1 ? label : `${label}, page ${number}`}
      items={value.items}
      keyOf={keyOf}
      row={row}
    />
  )
}
