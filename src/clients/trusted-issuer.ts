import type { TrustedIssuerTable } from '../../db/schema.ts'
import { readClientJwks } from '../keys/proofs/client-jwks.ts'
import { isFetchedUrl } from '../protocol/fetched-url.ts'
import {
  readSubjects,
  subjectProblems,
  takesSubjects,
  type TrustedSubject,
} from '../protocol/trusted-subjects.ts'
import { day } from '../values/duration.ts'
import { duration, flag, object, text, type JsonKind } from './property-kinds.ts'

/** An outside issuer that is trusted to name clients, as it is declared. */
export interface TrustedIssuerMetadata {
  /** The `iss` of its assertions, to the last slash. */
  readonly issuer: string
  /** Their `aud`; null for our own issuer. */
  readonly audience: string | null
  /** Its public keys, or where it publishes them; null for both where its metadata say so. */
  readonly jwks: object | null
  readonly jwks_uri: string | null
  /** How long an assertion may live, in seconds; null for an hour. */
  readonly max_life: number | null
  /** Whether one assertion may be used more than once, until its end. */
  readonly reusable: boolean
  readonly subjects: readonly TrustedSubject[]
}

/** The same, as assertions are checked with it. */
export interface TrustedIssuer extends Omit<TrustedIssuerMetadata, 'jwks'> {
  readonly jwks: string | null
}

export const defaultLifeSeconds = 3600

/** From a minute to a day: a token that is stolen is good for as long. */
export const lifeLimits = [60, day] as const

const subjects: JsonKind<readonly TrustedSubject[]> = {
  fallback: [],
  takes: takesSubjects,
  schema: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        subject: { type: ['string', 'null'] },
        subject_pattern: { type: ['string', 'null'] },
        claims: { type: 'object', additionalProperties: { type: 'string' } },
        client: { type: 'string' },
        user: { type: ['string', 'null'] },
      },
      required: ['client'],
      additionalProperties: false,
    },
  },
  fromFile: readSubjects,
}

/** The forms of all that is declared of a trusted issuer beside its URL. */
export const trustedIssuerKinds = {
  audience: text('the aud of its assertions'),
  jwks: object,
  jwks_uri: text('a URL'),
  max_life: duration(...lifeLimits),
  reusable: flag,
  subjects,
}

export const takesTrustedIssuer = 'an https URL without query and fragment (http only for a loopback host)'

/** Whether a text can be the `iss` of an outside issuer. */
export function isTrustedIssuerUrl(text: string): boolean {
  return text.length <= 500 && isFetchedUrl(text) && !text.includes('?')
}

/** Why there can be no such issuer. Does NOT look whether there are the clients that it names. */
export function* trustedIssuerProblems(
  declared: TrustedIssuerMetadata,
  ownIssuer: string,
): Generator<string> {
  const { issuer, audience, jwks, jwks_uri: uri } = declared
  if (!isTrustedIssuerUrl(issuer)) yield `an issuer takes ${takesTrustedIssuer}`
  // Our own tokens are for APIs.
  if (issuer === ownIssuer) yield `${issuer} is this server itself, whose tokens are no assertions`
  if (audience !== null && !/^[\x21-\x7e]{1,500}$/.test(audience))
    yield 'the audience takes 1 to 500 visible ASCII characters, without spaces'
  if (jwks !== null && uri !== null) yield 'it has its keys in jwks or at jwks_uri, and not both'
  if (uri !== null && !isFetchedUrl(uri))
    yield 'the jwks_uri takes an https URL without credentials (http only for a loopback host)'
  if (jwks !== null) yield* keyProblems(jwks)
  yield* subjectProblems(declared.subjects)
}

function* keyProblems(jwks: object): Generator<string> {
  const read = readClientJwks(jwks)
  if (!read) yield 'the jwks is no JWK Set: it takes an object with a list of keys (RFC 7517 §5)'
  else if (read.hasPrivateKey) yield 'the jwks holds a private or a shared key: it takes public ones'
  else if (read.keys.length === 0)
    yield ['the jwks holds no key that can be used', ...read.problems].join('; ')
}

/** The issuer that a row declares. */
export function trustedIssuerMetadata(row: TrustedIssuerTable): TrustedIssuerMetadata {
  return { ...trustedIssuerOf(row), jwks: object.fromColumn(row.jwks) }
}

/** The issuer of a row, as assertions are checked with it. */
export function trustedIssuerOf(row: TrustedIssuerTable): TrustedIssuer {
  return {
    issuer: row.issuer,
    audience: row.audience,
    jwks: row.jwks,
    jwks_uri: row.jwks_uri,
    max_life: row.life_max_seconds,
    reusable: row.is_reusable === 1,
    subjects: storedSubjects(row.subjects) ?? [],
  }
}

/** Undefined for a damaged row, which stops only what needs it. */
export function storedSubjects(json: string): readonly TrustedSubject[] | undefined {
  try {
    return readSubjects(JSON.parse(json))
  } catch {
    return undefined // it is not JSON
  }
}

/** A declared issuer, as columns of its row. */
export function trustedIssuerSettings(
  declared: Omit<TrustedIssuerMetadata, 'issuer'>,
): Omit<TrustedIssuerTable, 'issuer' | 'created_at'> {
  return {
    audience: declared.audience,
    jwks: object.toColumn(declared.jwks),
    jwks_uri: declared.jwks_uri,
    life_max_seconds: declared.max_life,
    is_reusable: declared.reusable ? 1 : 0,
    subjects: JSON.stringify(declared.subjects),
  }
}
