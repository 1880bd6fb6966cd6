import { listTroubledReceivers } from '../../../db/push/delivery-figures.ts'
import type { ReceiverTable } from '../../../db/schema.ts'
import { formatTime } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

const shownMax = 20

/** To whom nothing gets through of what is to be delivered. */
export async function checkDeliveries({ db }: Admin): Promise<readonly Finding[]> {
  return (await listTroubledReceivers(db, shownMax)).map(findingOf)
}

function findingOf({ kind, id, failing_since, paused_at, last_error }: ReceiverTable): Finding {
  const since = failing_since === null ? '' : ` since ${formatTime(failing_since)}`
  const why = last_error === null ? '' : `: ${last_error}`
  if (kind === 'logout') {
    return {
      verdict: 'warning',
      text: `the client ${id} could not be told of log-outs${since}${why}`,
      advice:
        'see to what answers at its --back-channel-logout-uri: log-outs are told for three days, then dropped',
    }
  }
  return paused_at === null
    ? {
        verdict: 'warning',
        text: `nothing gets through to the stream ${id}${since}${why}`,
        advice: 'see to its receiver: after three days it is paused',
      }
    : {
        verdict: 'warning',
        text: `the stream ${id} is paused since ${formatTime(paused_at)}${why}`,
        advice: 'what is for it waits: resume it once its receiver is well',
      }
}
