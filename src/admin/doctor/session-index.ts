import { readFill } from '../../../db/sessions/session-index.ts'
import { formatTime } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

/** Until the index has the sessions of before an upgrade, a list by client or API reads all the others. */
export async function checkSessionIndex({ db }: Pick<Admin, 'db'>): Promise<Finding[]> {
  const { filled_to, is_filled } = await readFill(db)
  if (is_filled === 1)
    return [{ verdict: 'ok', text: 'sessions are found by client and by API along an index' }]
  const reach = filled_to ? `those that began by ${formatTime(beganAt(filled_to))}` : 'none of them'
  // There is nothing to be done about it.
  return [
    {
      verdict: 'ok',
      text:
        `the index of sessions by client and by API has ${reach} so far: ` +
        'lists of them have all, and take longer until a server has put the rest into it',
    },
  ]
}

/** The time in a UUIDv7 (RFC 9562 §5.7), in whole seconds. */
const beganAt = (id: Buffer) => Math.floor(id.readUIntBE(0, 6) / 1000)
