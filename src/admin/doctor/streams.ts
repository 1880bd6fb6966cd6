import { findStreamDeliveries } from '../../../db/push/stream-deliveries.ts'
import { listStreams } from '../../../db/push/streams.ts'
import { formatUuid } from '../../protocol/secrets.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Examination, Finding } from './finding.ts'

/** Longer than a receiver is away that is only started anew. */
const lateSeconds = 600

/** Whether receivers get their security events. */
export async function checkStreams(
  { db, rootKeys }: Admin,
  { clock }: Examination,
): Promise<readonly Finding[]> {
  const streams = await listStreams(db)
  const findings: Finding[] = []
  for (const stream of streams) {
    const id = formatUuid(stream.id)
    const what = `the stream ${id} of ${stream.client_id}`
    if (stream.root_key_id !== null && !rootKeys.has(stream.root_key_id)) {
      findings.push({
        verdict: 'problem',
        text: `nothing is pushed to ${what}: its Authorization needs the root key ${stream.root_key_id}, which is not in the file`,
        advice: `set it again: \`mintmark stream update ${id} --authorization-file FILE\``,
      })
    }
    if (stream.status === 'paused') {
      const why = stream.status_reason === null ? '' : `: ${stream.status_reason}`
      findings.push({
        verdict: 'warning',
        text: `${what} is paused${why}; what happens is held for a week`,
        advice: `see to its receiver, then \`mintmark stream resume ${id}\` delivers what was held`,
      })
      continue
    }
    const { waiting, oldestAt, lastError } = await findStreamDeliveries(db, stream.id)
    if (oldestAt !== null && clock.now() - oldestAt >= lateSeconds) {
      const told = lastError === null ? '' : `: ${lastError}`
      findings.push({
        verdict: 'warning',
        text: `${formatCount(waiting, 'event')} wait for ${what} since ${formatTime(oldestAt)}${told}`,
        advice:
          stream.method === 'push'
            ? `\`mintmark stream verify ${id}\` tries it; after three days the stream is paused`
            : 'its receiver fetches nothing; after three days the stream is paused',
      })
    }
  }
  if (findings.length > 0 || streams.length === 0) return findings
  return [
    { verdict: 'ok', text: `${formatCount(streams.length, 'stream')} of security events get what happens` },
  ]
}
