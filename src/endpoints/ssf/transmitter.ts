import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import { streamsPath } from '../../http/other-methods.ts'
import { pollDelivery, pushDelivery } from '../../protocol/security-events.ts'
import { pollEndpoint } from './poll.ts'
import { streamStatusEndpoints } from './status.ts'
import { streamEndpoints } from './streams.ts'
import { streamSubjectEndpoints } from './subjects.ts'
import { streamVerificationEndpoint } from './verification.ts'

/** What receivers of security events do themselves (SSF 1.0 §8), one line for each address of it. */
export function receiverEndpoints(app: FastifyInstance, ctx: Context): void {
  streamEndpoints(app, ctx)
  streamStatusEndpoints(app, ctx)
  streamSubjectEndpoints(app, ctx)
  streamVerificationEndpoint(app, ctx)
  pollEndpoint(app, ctx)
}

/** The metadata of the transmitter (SSF 1.0 §7.1). */
export function transmitterMetadata(issuer: string) {
  return {
    spec_version: '1_0',
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    delivery_methods_supported: [pushDelivery, pollDelivery],
    configuration_endpoint: issuer + streamsPath,
    status_endpoint: `${issuer}/ssf/status`,
    add_subject_endpoint: `${issuer}/ssf/subjects/add`,
    remove_subject_endpoint: `${issuer}/ssf/subjects/remove`,
    verification_endpoint: `${issuer}/ssf/verify`,
    // RFC 6749: an access token of client_credentials.
    authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
    default_subjects: 'ALL',
  }
}
