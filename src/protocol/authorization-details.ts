import { areTexts, isObject } from '../values/json.ts'
import { itemsOf } from '../values/list.ts'
import { canonicalJson, readStrictJson } from '../values/strict-json.ts'
import { findDetailType, isOfSchema, type WithDetailTypes } from './detail-types.ts'
import type { Form } from './form.ts'
import { meantResource } from './resource.ts'

/** One of the `authorization_details` (RFC 9396 §2): what exactly somebody is to be allowed. */
export interface AuthorizationDetail {
  readonly type: string
  /** Where it counts (§2.2): here the resource that it is for. */
  readonly locations?: readonly string[]
  readonly [member: string]: unknown
}

export type AuthorizationDetails = readonly AuthorizationDetail[]

/** How many there may be, how long together in bytes of JSON, and how deep, arrays and objects alike. */
export const detailsMax = 20
export const detailsBytesMax = 3000
const depthMax = 8

/** Reads the parameter; undefined where it is not a list of such, each once. */
function parseDetails(text: string): AuthorizationDetails | undefined {
  if (Buffer.byteLength(text) > detailsBytesMax) return undefined
  const value = readStrictJson(text, depthMax)
  if (!Array.isArray(value) || value.length > detailsMax || !value.every(isDetail)) return undefined
  // Numbers may have become longer.
  if (Buffer.byteLength(JSON.stringify(value)) > detailsBytesMax) return undefined
  return new Set(value.map(canonicalJson)).size === value.length ? value : undefined
}

function isDetail(value: unknown): value is AuthorizationDetail {
  if (!isObject(value) || typeof value['type'] !== 'string') return false
  return !('locations' in value) || (areTexts(value['locations']) && value['locations'].length > 0)
}

/** Those of a row; null for none. Throws where it is damaged, and does not say by what. */
export function storedDetails(text: string | null): AuthorizationDetails {
  if (text === null) return []
  const details = readStoredDetails(text)
  if (details) return details
  throw new Error('the authorization_details of a row are damaged')
}

/** The details in a column; undefined where it is damaged. */
export function readStoredDetails(text: string): AuthorizationDetails | undefined {
  try {
    const details: unknown = JSON.parse(text)
    return Array.isArray(details) && details.every(isDetail) ? details : undefined
  } catch {
    return undefined // it is not JSON
  }
}

/** As they are stored; null for none. */
export function detailsColumn(details: AuthorizationDetails): string | null {
  return details.length === 0 ? null : JSON.stringify(details)
}

/** Their types, each once: the one thing that logs and the audit trail tell of them. */
export function typesOf(details: AuthorizationDetails): readonly string[] {
  return [...new Set(details.map(({ type }) => type))]
}

interface DetailFacts {
  readonly client: { readonly authorization_details_types: string }
  /** Those of the client's that there are. */
  readonly resources: readonly ResourceOfDetails[]
}

type ResourceOfDetails = WithDetailTypes & { readonly uri: string }

/** A request with its details. */
export interface AskedDetails {
  readonly details: AuthorizationDetails
  /** The request as it counts: it names their resource, and a scope, be it an empty one. */
  readonly form: Form
  /** Why they cannot be had (RFC 9396 §5); constant. */
  readonly refusal?: DetailsRefusal
}

export interface DetailsRefusal {
  readonly error: 'invalid_authorization_details'
  readonly description: string
}

/**
 * The details that a request asks for anew: of types that the client may have and one of its resources
 * knows, each as the schema there says. All are of that resource, even if the request does not name it.
 */
export function readAskedDetails(form: Form, { client, resources }: DetailFacts): AskedDetails {
  const text = form.get('authorization_details')
  if (text === undefined) return { details: [], form }
  const refused = (description: string): AskedDetails => ({
    details: [],
    form,
    refusal: { error: 'invalid_authorization_details', description },
  })
  const details = parseDetails(text)
  if (!details || details.length === 0) return refused(malformed)
  const types = itemsOf(client.authorization_details_types)
  if (!details.every(({ type }) => types.includes(type)))
    return refused('a type of the authorization_details is unknown, or not one that this client may ask for')
  const named = meantResource(form.get('resource'), resources)
  const known = resources
    .filter(({ uri }) => named === undefined || uri === named)
    .filter(resource => details.every(detail => isFor(resource, detail)))
  const [resource] = known
  if (!resource)
    return refused(
      'no resource of this client knows all types of the authorization_details at their locations, and a token is for one',
    )
  if (known.length > 1)
    return refused('several resources know the types of the authorization_details: name the resource')
  if (!details.every(detail => isKnownAt(resource, detail)))
    return refused('one of the authorization_details is not as the schema of its type says')
  const counted = new Map([...form, ['resource', resource.uri]])
  if (!form.has('scope')) counted.set('scope', '')
  return { details, form: counted }
}

const malformed =
  `the authorization_details are not a JSON array of 1 to ${detailsMax} different objects with a type, ` +
  `${detailsBytesMax} bytes at the most, without members that come twice and numbers that lose digits`

/** Whether a resource has the type of a detail, which is meant for it. */
function isFor(resource: ResourceOfDetails, { type, locations = [] }: AuthorizationDetail): boolean {
  return (
    findDetailType(resource, type) !== undefined &&
    locations.every(location => meantResource(location, [resource]) === resource.uri)
  )
}

function isKnownAt(resource: ResourceOfDetails, detail: AuthorizationDetail): boolean {
  const type = findDetailType(resource, detail.type)
  return type !== undefined && isOfSchema(type, detail)
}

/** What was granted, and for which resource a token is. */
interface GrantedDetails {
  readonly client: { readonly authorization_details_types: string }
  readonly resource: ResourceOfDetails | undefined
  readonly granted: AuthorizationDetails
}

/**
 * Those granted details that a token may have now: without those that the client or its resource knows no
 * more, as with scopes. A request may ask for some of them (RFC 9396 §6.1); each has to be one that was
 * granted, member by member. Undefined where one is not.
 */
export function narrowDetails(
  form: Form,
  { client, resource, granted }: GrantedDetails,
): AuthorizationDetails | undefined {
  const types = itemsOf(client.authorization_details_types)
  const available = resource
    ? granted.filter(
        detail => types.includes(detail.type) && isFor(resource, detail) && isKnownAt(resource, detail),
      )
    : []
  const text = form.get('authorization_details')
  if (text === undefined) return available
  const asked = parseDetails(text)
  const texts = available.map(canonicalJson)
  return asked?.every(detail => texts.includes(canonicalJson(detail))) ? asked : undefined
}
