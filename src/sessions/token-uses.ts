import type { Database } from '../../db/database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { touchPersonalTokens } from '../../db/sessions/personal-tokens.ts'
import type { Clock } from '../clock.ts'
import type { Context } from '../context.ts'
import { personalTokenPrefix } from '../protocol/personal-token.ts'
import type { Job } from '../upkeep/job.ts'
import { hasEnded } from './sent-token.ts'
import type { TokenSession } from './token-session.ts'

/** A use within so long of the one that is noted is not noted too, in seconds; the first one always is. */
const hour = 3600

/** How often those that were used are written down. */
const writeSeconds = 10

/** So many are kept until then; a use beyond is noted with a later one. */
const usesMax = 10_000

/** So many rows one statement changes. */
const rowsAtOnce = 500

/**
 * Counts what a text that was shown has come to, where it looks like a personal access token. `use`: what it
 * was let in for; undefined where it was of no use.
 */
export function countTokenUse(
  { counts, clock }: Pick<Context, 'counts' | 'clock'>,
  { text, found }: { readonly text: string; readonly found: TokenSession },
  use: 'introspected' | 'exchanged' | undefined,
): void {
  if (!text.startsWith(personalTokenPrefix)) return
  counts.personalTokens[use ?? whyOfNoUse(found, clock.now())]++
}

function whyOfNoUse(found: TokenSession, now: number): 'unknown' | 'ended' | 'refused' {
  if (found.kind === 'none') return 'unknown'
  return hasEnded(found.session, now) ? 'ended' : 'refused'
}

type Used = Pick<SessionTable, 'id' | 'started_at' | 'rotated_at'>

/** Notes when personal access tokens were last used, to the hour: at most a row an hour for each. */
export function openTokenUses(
  db: Database,
  clock: Clock,
): { readonly noteTokenUse: (session: Used) => void; readonly jobs: readonly Job[] } {
  const used = new Map<string, Buffer>()
  const write = async () => {
    while (used.size > 0) {
      const some = [...used].slice(0, rowsAtOnce)
      const now = clock.now()
      await touchPersonalTokens(
        db,
        some.map(([, id]) => id),
        { now, before: now - hour },
      )
      for (const [key] of some) used.delete(key)
    }
  }
  return {
    noteTokenUse: ({ id, started_at, rotated_at: notedAt }) => {
      const isNew = notedAt === started_at || clock.now() - notedAt >= hour
      if (isNew && used.size < usesMax) used.set(id.toString('hex'), id)
    },
    jobs: [{ name: 'noting when tokens were used', everySeconds: writeSeconds, run: write, last: write }],
  }
}
