import createClient from 'openapi-fetch'
import type { components, paths } from '../generated/admin-api.ts'
import { settings } from '../settings.ts'
import { Problem, type ProblemDocument } from './problem.ts'
import { send } from './send.ts'

/** The admin API, with the types of its own description. */
export const api = createClient<paths>({ baseUrl: location.origin + settings.base, fetch: send })

type Schemas = components['schemas']
export type User = Schemas['User']
export type Client = Schemas['Client']
export type Resource = Schemas['Resource']
export type Key = Schemas['Key']
export type Session = Schemas['Session']
export type SignIn = Schemas['SignIn']
export type Factors = Schemas['Factors']
export type Job = Schemas['Job']
export type Counts = Schemas['Counts']
export type Finding = Schemas['Finding']
export type AuditEntry = Schemas['AuditEntry']
export type Group = Schemas['Group']
export type OwnClaim = Schemas['OwnClaim']
export type ExplainedLogIn = Schemas['ExplainedLogIn']
export type KeyPolicy = Schemas['KeyPolicy']
export type Stream = Schemas['Stream']
export type ShownStream = Schemas['ShownStream']
export type RegistrationToken = Schemas['RegistrationToken']
export type TrustedIssuer = Schemas['TrustedIssuer']
export type PersonalToken = Schemas['PersonalToken']
export type RefusedEntry = Schemas['RefusedEntry']

/** An object, and the name of the state that it was read in (RFC 9110 §8.8.3). */
export interface Read<Value> {
  readonly value: Value
  readonly etag: string
}

interface Answer<Data> {
  readonly data?: Data
  readonly error?: unknown
  readonly response: Response
}

/** The document of an answer. Throws a `Problem` where it is refused. */
export async function documentOf<Data>(answering: Promise<Answer<Data>>): Promise<Data> {
  return (await readOf(answering)).value
}

/** The same, with its ETag. */
export async function readOf<Data>(answering: Promise<Answer<Data>>): Promise<Read<Data>> {
  const { data, error, response } = await answering
  if (!response.ok) throw problemOf(error, response)
  // An answer without a body is of a route that is described so.
  return { value: data as Data, etag: response.headers.get('etag') ?? '' }
}

function problemOf(error: unknown, { status, headers }: Response): Problem {
  const { code = 'unexpected', detail, field }: Partial<ProblemDocument> = Object(error)
  const sentence = detail ?? `the server has answered with the status ${status}`
  return new Problem({
    status,
    code,
    detail: sentence.charAt(0).toUpperCase() + sentence.slice(1) + (/[.!?]$/.test(sentence) ? '' : '.'),
    field,
    request_id: headers.get('x-request-id') ?? undefined,
  })
}
