import { trustedIssuerMetadata } from '../../clients/trusted-issuer.ts'
import type { Admin } from '../admin.ts'
import { keyFaultOf, listTrustedIssuers } from '../trusted-issuers.ts'
import type { Finding } from './finding.ts'

/** Whether the keys of each issuer can be had from here: without them its JWTs are answered with 503. */
export async function checkTrustedIssuers(admin: Pick<Admin, 'db' | 'config'>): Promise<readonly Finding[]> {
  const issuers = (await listTrustedIssuers(admin)).map(trustedIssuerMetadata)
  // All at once: one that hangs has no other wait.
  const faults = await Promise.all(issuers.map(issuer => keyFaultOf(admin, issuer)))
  return issuers.map(({ issuer }, i): Finding => {
    const fault = faults[i]
    if (fault === undefined) return { verdict: 'ok', text: `the keys of the issuer ${issuer} can be had` }
    return {
      verdict: 'problem',
      text: `the keys of the issuer ${issuer} cannot be had: ${fault}`,
      advice:
        'until they can, its JWTs are answered with 503: let this machine reach it (MINTMARK_JWKS_URI_NETWORKS ' +
        'allows private networks), or give its keys by `mintmark issuer update URL --jwks FILE`',
    }
  })
}
