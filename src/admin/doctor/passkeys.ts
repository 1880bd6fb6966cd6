import { countUsersByRpId } from '../../../db/factors/passkeys.ts'
import { passkeysPossible } from '../../factors/passkeys.ts'
import { formatCount } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Finding } from './finding.ts'

/**
 * Browsers give a passkey to pages of its RP ID alone. So this says what another host of the issuer would
 * break before it breaks, and what another RP ID has broken.
 */
export async function checkPasskeys({ db, config }: Admin): Promise<readonly Finding[]> {
  const counts = await countUsersByRpId(db)
  const { passkeyRpId, issuer } = config
  if (!passkeysPossible(config) && counts.length > 0) {
    const text = `browsers have no passkeys for ${issuer}, an address without a name, and ${total(counts)} here`
    return [{ verdict: 'problem', text, advice: 'give the issuer the host that it had: `mintmark db adopt`' }]
  }
  return counts.map(({ rp_id, users }) => {
    const have = `${formatCount(users, 'user')} ${users === 1 ? 'has' : 'have'} passkeys for ${rp_id}`
    if (rp_id === passkeyRpId) {
      const text = `${have}: at an issuer whose host is neither that nor below it, none of them would work`
      return { verdict: 'ok', text }
    }
    return {
      verdict: 'problem',
      text: `${have}, none of which works: passkeys are for ${passkeyRpId} now`,
      advice:
        `set MINTMARK_PASSKEY_RP_ID=${rp_id}, which takes an issuer at ${rp_id} or below it; else their owners log in with a ` +
        'password and an authenticator app or a recovery code, and set up others; who has neither needs ' +
        '`mintmark user factor remove NAME all` first',
    }
  })
}

function total(counts: readonly { readonly users: number }[]): string {
  const users = counts.reduce((sum, one) => sum + one.users, 0)
  return `${formatCount(users, 'user')} ${users === 1 ? 'has' : 'have'} some`
}
