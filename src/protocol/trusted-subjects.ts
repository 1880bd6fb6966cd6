import { isObject } from '../values/json.ts'

/** The subjects of an outside issuer that name one client here, or a user at one client. */
export interface TrustedSubject {
  /** The `sub`, as it is; null where a pattern says which. */
  readonly subject: string | null
  readonly subject_pattern: string | null
  /** Further claims that must be so, by their names or by JSON Pointers (RFC 6901), which begin with `/`. */
  readonly claims: Readonly<Record<string, string>>
  /** The `client_id`. */
  readonly client: string
  /** The `sub` of the user in whose name the client acts; null where it acts in its own. */
  readonly user: string | null
}

type Claims = Readonly<Record<string, unknown>>

export const subjectsMax = 500
export const textMax = 500
const claimsMax = 20

export const takesSubjects =
  'a list of objects with client, subject or subject_pattern, user, and claims: texts by their names'

/** Reads the form of such a list; undefined for another. `subjectProblems` judges the values. */
export function readSubjects(value: unknown): readonly TrustedSubject[] | undefined {
  if (!Array.isArray(value)) return undefined
  const subjects = value.map(readSubject)
  return subjects.every(subject => subject !== undefined) ? subjects : undefined
}

const members = ['subject', 'subject_pattern', 'claims', 'client', 'user']

function readSubject(value: unknown): TrustedSubject | undefined {
  if (!isObject(value) || !Object.keys(value).every(name => members.includes(name))) return undefined
  const { subject = null, subject_pattern = null, claims = {}, client, user = null } = value
  if (typeof client !== 'string' || !isTextOrNull(subject) || !isTextOrNull(subject_pattern)) return undefined
  if (!isObject(claims) || !areTexts(claims) || !isTextOrNull(user)) return undefined
  return { subject, subject_pattern, claims, client, user }
}

const isTextOrNull = (value: unknown) => value === null || typeof value === 'string'

function areTexts(claims: Claims): claims is Readonly<Record<string, string>> {
  return Object.values(claims).every(value => typeof value === 'string')
}

/** Claims that each assertion is judged by already. */
const ownClaims = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']

/** Why these cannot be trusted subjects of an issuer. Does NOT look whether there are such clients. */
export function* subjectProblems(subjects: readonly TrustedSubject[]): Generator<string> {
  if (subjects.length > subjectsMax) yield `an issuer has ${subjectsMax} subjects at the most`
  const seen = new Set<string>()
  for (const trusted of subjects) {
    const { subject, subject_pattern: pattern, claims } = trusted
    const same = JSON.stringify([
      subject,
      pattern,
      Object.entries(claims).sort(),
      trusted.client,
      trusted.user,
    ])
    if (seen.has(same)) yield `${nameOf(trusted)} is there twice for ${trusted.client}`
    seen.add(same)
    if ((subject === null) === (pattern === null)) {
      yield 'a trusted subject is said by subject or by subject_pattern: one of them, and not both'
    } else if (subject !== null) yield* exactProblems(subject)
    else if (pattern !== null) yield* patternProblems(pattern)
    for (const problem of claimProblems(claims)) yield `${nameOf(trusted)}: ${problem}`
  }
}

function* claimProblems(claims: TrustedSubject['claims']): Generator<string> {
  if (Object.keys(claims).length > claimsMax) yield `it takes ${claimsMax} claims at the most`
  for (const [name, value] of Object.entries(claims)) {
    if (ownClaims.includes(name)) yield `${name} is judged by itself, and is no further claim`
    if (!isText(name) || !isText(value)) yield `a claim and its value each take ${takesText}`
  }
}

/** The subject or the pattern. */
export function nameOf({ subject, subject_pattern }: TrustedSubject): string {
  return subject ?? subject_pattern ?? ''
}

const takesText = `1 to ${textMax} characters, none of them a control character`

function isText(text: string): boolean {
  return text.length >= 1 && text.length <= textMax && !/\p{Cc}/u.test(text)
}

function* exactProblems(subject: string): Generator<string> {
  if (!isText(subject)) yield `a subject takes ${takesText}`
  // Taken for what it is, it would match nothing, and its owner would wonder why.
  if (subject.includes('*')) yield `${subject} has a *, which only a subject_pattern may have`
}

/**
 * A pattern stands for whole parts, between `:` and `/`, of a subject. `*` is one part, and `**` at the end
 * one or more. So `repo:acme/*:ref:refs/heads/main` is each repository of acme, and never one of `acme-evil`
 * or another branch. The first two parts are spelt out: many an issuer signs for everybody.
 */
function* patternProblems(pattern: string): Generator<string> {
  if (!isText(pattern)) yield `a subject_pattern takes ${takesText}`
  const parts = pattern.split(separator)
  if (parts.some(part => part.includes('*') && part !== '*' && part !== '**'))
    yield `${pattern}: a * stands for a whole part, between : and /`
  if (parts.slice(0, -1).includes('**')) yield `${pattern}: ** stands for the rest, at the end`
  if (!pattern.includes('*')) yield `${pattern} has no *: say it as subject`
  const spelt = parts.filter(part => part !== '').slice(0, 2)
  if (spelt.some(part => part.includes('*')))
    yield `${pattern}: the first two parts are spelt out, or anybody at this issuer could be meant`
}

const separator = /[:/]/
const eachSeparator = /[:/]/g

/** Whether a `sub` is one that the pattern stands for. */
export function matchesPattern(pattern: string, sub: string): boolean {
  const wanted = pattern.split(separator)
  const parts = sub.split(separator)
  const isOpen = wanted.at(-1) === '**'
  if (isOpen ? parts.length < wanted.length : parts.length !== wanted.length) return false
  const marks = sub.match(eachSeparator) ?? []
  if (!(pattern.match(eachSeparator) ?? []).every((mark, i) => marks[i] === mark)) return false
  return parts.every((part, i) => {
    const want = i >= wanted.length ? '**' : wanted[i]
    return want === '*' || want === '**' ? part !== '' : part === want
  })
}

/** A client, and the user in whose name it acts, if it does so. */
export type Named = Pick<TrustedSubject, 'client' | 'user'>

export interface NamedBy {
  /** All that it names, each once. */
  readonly named: readonly Named[]
  /** Why it names none: the claim that does not fit. It says nothing that the sender has made up. */
  readonly reason: string
}

/** Whom these claims name, of an assertion that is valid otherwise. */
export function namedBy(subjects: readonly TrustedSubject[], claims: Claims): NamedBy {
  const { sub } = claims
  const ofSub = typeof sub === 'string' ? subjects.filter(trusted => isSubject(trusted, sub)) : []
  if (ofSub.length === 0) return { named: [], reason: 'its sub is none that the issuer is trusted for' }
  const unfit = ofSub.map(({ claims: wanted }) =>
    Object.entries(wanted).flatMap(([name, value]) => whyUnfit(claims, name, value) ?? []),
  )
  const fitting = ofSub.filter((_, i) => unfit[i]?.length === 0)
  const named = new Map(fitting.map(({ client, user }) => [`${client} ${user}`, { client, user }]))
  return { named: [...named.values()], reason: [...new Set(unfit.flat())].join('; ') }
}

function isSubject({ subject, subject_pattern: pattern }: TrustedSubject, sub: string): boolean {
  if (subject !== null) return sub === subject
  return pattern !== null && matchesPattern(pattern, sub)
}

function whyUnfit(claims: Claims, name: string, wanted: string): string | undefined {
  const value = valueAt(claims, name)
  if (value === undefined) return `its claim ${name} is missing`
  const isScalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  return isScalar && String(value) === wanted ? undefined : `its claim ${name} is another than ${wanted}`
}

/** The value of a claim, or of a member of one, where the name is a JSON Pointer. */
function valueAt(claims: Claims, name: string): unknown {
  if (!name.startsWith('/')) return Object.hasOwn(claims, name) ? claims[name] : undefined
  let value: unknown = claims
  for (const step of name.slice(1).split('/')) {
    const member = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (!isObject(value) || !Object.hasOwn(value, member)) return undefined
    value = value[member]
  }
  return value
}
