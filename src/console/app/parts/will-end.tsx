import { api, documentOf } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { ProblemNote } from './problem-note.tsx'
import { counted } from './words.ts'

/** So many are counted one by one. */
const countedMax = 200

/** How many sessions of a user an act will end, before it is confirmed. */
export function WillEnd({ sub }: { readonly sub: string }) {
  const { value, problem } = useAnswer(
    async signal => {
      const query = { sub, limit: countedMax }
      return {
        sessions: await documentOf(api.GET('/admin/v1/sessions', { params: { query }, signal })),
        signIns: await documentOf(api.GET('/admin/v1/sign-ins', { params: { query }, signal })),
      }
    },
    [sub],
  )
  if (problem) return <ProblemNote problem={problem} />
  if (!value) return <p class="quiet">Counting what will end…</p>
  const many = ({ items, next }: { items: readonly unknown[]; next: string | null }, noun: string) =>
    next === null ? counted(items.length, noun) : `at least ${counted(items.length, noun)}`
  return (
    <p class="ends">
      This ends <strong>{many(value.sessions, 'session')}</strong> in apps and{' '}
      <strong>{many(value.signIns, 'sign-in')}</strong> in browsers.
    </p>
  )
}

/** The same of sessions in apps alone: those of a client, or that an age chooses. */
export function SessionsWillEnd({ of: query }: { readonly of: SessionFilter }) {
  // A count of others must not stand there until it is counted anew.
  return <Counted key={JSON.stringify(query)} query={query} />
}

function Counted({ query }: { readonly query: SessionFilter }) {
  const { value, problem } = useAnswer(
    signal => documentOf(api.GET('/admin/v1/sessions/count', { params: { query }, signal })),
    [],
  )
  if (problem) return <ProblemNote problem={problem} />
  if (!value) return <p class="quiet">Counting what will end…</p>
  const { count, more } = value
  return (
    <p class="ends">
      This ends{' '}
      <strong>
        {more && 'more than '}
        {counted(count, 'session')}
      </strong>
      .
    </p>
  )
}

interface SessionFilter {
  readonly client_id?: string
  readonly older_than?: number
  readonly idle_for?: number
}
