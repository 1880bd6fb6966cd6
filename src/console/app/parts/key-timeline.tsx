import type { Key } from '../api/api.ts'
import { now } from '../auth/proof.ts'

type Stretch = 'published' | 'signs' | 'verifies' | 'revoked'

const words: Readonly<Record<Stretch, string>> = {
  published: 'published',
  signs: 'signs',
  verifies: 'verifies only',
  revoked: 'revoked',
}

const date = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

/** The life of each key along time, with a line through all for now, as `mintmark key list` draws it. */
export function KeyTimeline({ keys }: { readonly keys: readonly Key[] }) {
  const at = now()
  const times = keys
    .flatMap(key => [key.published_at, key.signs_from, key.retires_at, key.gone_at])
    .flatMap(time => (time === null ? [] : [secondsOf(time)]))
  const [from, to] = [Math.min(at, ...times), Math.max(at + 1, ...times)]
  const percent = (seconds: number) => ((seconds - from) / (to - from)) * 100
  const algs = [...new Set(keys.map(({ alg }) => alg))].sort()
  return (
    <figure class="timeline">
      {algs.map(alg => (
        <div key={alg}>
          <figcaption>{alg}</figcaption>
          {keys
            .filter(key => key.alg === alg)
            .map(key => (
              <div class="life" key={key.kid}>
                <span class="kid">{key.kid.slice(0, 8)}</span>
                <svg aria-hidden="true" width="100%" height="18">
                  {stretchesOf(key, to).map(({ stretch, start, end }) => (
                    <rect
                      key={stretch}
                      class={stretch}
                      x={`${percent(start)}%`}
                      // However short it is, it is seen.
                      width={`${Math.max(0.6, percent(end) - percent(start))}%`}
                      y="4"
                      height="10"
                    />
                  ))}
                  <line class="now" x1={`${percent(at)}%`} x2={`${percent(at)}%`} y1="0" y2="18" />
                </svg>
              </div>
            ))}
        </div>
      ))}
      <p class="quiet" aria-hidden="true">
        <span>{date.format(from * 1000)}</span>
        <span>{date.format(to * 1000)}</span>
      </p>
      <p class="legend quiet" aria-hidden="true">
        {Object.entries(words)
          .filter(([stretch]) => stretch !== 'revoked' || keys.some(({ revoked_at }) => revoked_at !== null))
          .map(([stretch, text]) => (
            <span key={stretch}>
              <svg width="18" height="10">
                <rect class={stretch} width="18" height="10" />
              </svg>{' '}
              {text}
            </span>
          ))}
        <span>
          <svg width="4" height="14">
            <line class="now" x1="2" x2="2" y1="0" y2="14" />
          </svg>{' '}
          now
        </span>
      </p>
    </figure>
  )
}

const secondsOf = (time: string) => Date.parse(time) / 1000

function stretchesOf(key: Key, to: number) {
  const { published_at, signs_from, retires_at, gone_at, state } = key
  const parts: readonly (readonly [Stretch, string | null, string | null])[] = [
    ['published', published_at, signs_from ?? gone_at],
    ['signs', signs_from, retires_at],
    [state === 'revoked' ? 'revoked' : 'verifies', retires_at, gone_at],
  ]
  return parts.flatMap(([stretch, start, end]) => {
    if (start === null) return []
    const span = { stretch, start: secondsOf(start), end: end === null ? to : secondsOf(end) }
    return span.start < span.end ? [span] : []
  })
}
