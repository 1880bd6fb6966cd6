import { readAskedDetails } from './authorization-details.ts'
import { plainRequest, type AuthorizationRequest, type RefusedCode } from './authorization-request.ts'
import { deviceGrant } from './grant-types.ts'
import type { Form } from './form.ts'
import {
  hasGrant,
  invalid,
  refuseKey,
  refuseTarget,
  resourceOf,
  scopeOf,
  wordsOf,
  type Refusal,
} from './request-target.ts'
import type { RequestFacts } from './request-verdict.ts'

/** What is known beside the parameters of a device's request. */
export interface DeviceFacts extends Pick<
  RequestFacts,
  'client' | 'resources' | 'proofJkt' | 'sessionId' | 'now'
> {
  /** Those of the server itself, for which no device gets tokens. */
  readonly withheldScopes: readonly string[]
  readonly userCode: string
}

export type DeviceVerdict =
  | { readonly kind: 'accepted'; readonly request: AuthorizationRequest & { readonly userCode: string } }
  | {
      readonly kind: 'refused'
      readonly error: RefusedCode | 'unauthorized_client'
      readonly description: string
    }

/** What a request may hold, in bytes of JSON. */
const requestBytesMax = 4000

/** Whether the request of a device is accepted (RFC 8628 §3.1, RFC 8707, RFC 9396, RFC 9470 §4). Pure. */
export function judgeDeviceRequest(form: Form, facts: DeviceFacts): DeviceVerdict {
  const { client, resources, userCode, now: madeAt } = facts
  if (!hasGrant(client, deviceGrant)) {
    const description = 'the client has not been given the grant of devices'
    return { kind: 'refused', error: 'unauthorized_client', description }
  }
  const { details, form: meant, refusal: detailsRefusal } = readAskedDetails(form, facts)
  const refusal =
    detailsRefusal ??
    refuseTarget(meant, facts) ??
    refuseWithheld(form, facts) ??
    refuseKey(form, facts) ??
    refuseControl(form.get('acr_values'))
  if (refusal) return { kind: 'refused', ...refusal }
  const request = {
    ...plainRequest,
    sessionId: facts.sessionId,
    clientId: client.id,
    clientMadeAt: client.created_at,
    redirectUri: '',
    isRedirectUriSent: false,
    scope: scopeOf(meant, client, resources)
      .filter(scope => !isWithheld(scope, facts))
      .join(' '),
    resource: resourceOf(meant, resources) ?? null,
    details,
    acrValues: wordsOf(form, 'acr_values'),
    dpopJkt: form.get('dpop_jkt') ?? facts.proofJkt,
    userCode,
    madeAt,
  }
  const bytes = Buffer.byteLength(JSON.stringify({ ...request, sessionId: '' }))
  if (bytes <= requestBytesMax) return { kind: 'accepted', request }
  return { kind: 'refused', ...invalid('the parameters are too long, all together') }
}

/** They are kept as they came, and PostgreSQL cannot keep a NUL. */
function refuseControl(acrValues = ''): Refusal | undefined {
  return /\p{Cc}/u.test(acrValues) ? invalid('the acr_values have control characters') : undefined
}

function refuseWithheld(form: Form, facts: DeviceFacts): Refusal | undefined {
  if (!wordsOf(form, 'scope').some(scope => isWithheld(scope, facts))) return undefined
  return {
    error: 'invalid_scope',
    description: 'nobody administers this server through a device: log in at /authorize for that scope',
  }
}

/** An API of the same name for a scope is another matter. */
function isWithheld(scope: string, { withheldScopes, resources }: DeviceFacts): boolean {
  return resources.length === 0 && withheldScopes.includes(scope)
}
