import type { OwnClaim } from '../api/api.ts'
import { Problem } from '../api/problem.ts'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'

type Kind = OwnClaim['kind']
type Source = OwnClaim['source']
type Scalar = string | number | boolean

const kinds: readonly Kind[] = ['string', 'number', 'boolean', 'array']

/** Where a value comes from, by the words of the form. */
const sources = {
  'a field of the user': 'user',
  'the same for everybody': 'constant',
  'by the roles of the user': 'roles',
  'by the groups of the user': 'groups',
} as const

/** What is asked about a claim beside its name. */
export function ClaimFields({ claim }: { readonly claim?: Pick<OwnClaim, 'kind' | 'source'> }) {
  const { kind = 'string', source = {} } = claim ?? {}
  const [from = 'a field of the user'] =
    Object.entries(sources).find(([, member]) => source[member] !== undefined) ?? []
  return (
    <>
      <Field label="Kind" name="kind" choices={kinds} defaultValue={kind} hint="What its values are" />
      <Field
        label="Where its value comes from"
        name="source"
        choices={Object.keys(sources)}
        defaultValue={from}
      />
      <Field
        label="Value"
        name="value"
        lines={4}
        defaultValue={valueText(source)}
        hint={
          <>
            Of a field its name: username, locale, address.country. The same for everybody: the value, of an
            array one on each line. By roles or groups one on each line, <code>gold = 3</code>; the first that
            the user has counts, of an array all.
          </>
        }
      />
      <Field
        label="Otherwise"
        name="otherwise"
        defaultValue={String(source.otherwise ?? '')}
        hint="By roles or groups: the value of who has none of them. Left empty, the claim is left out then"
      />
    </>
  )
}

function valueText({ user, constant, roles, groups }: Source): string {
  if (user !== undefined) return user
  if (Array.isArray(constant)) return constant.join('\n')
  if (constant !== undefined) return String(constant)
  return Object.entries(roles ?? groups ?? {})
    .map(([name, value]) => `${name} = ${value}`)
    .join('\n')
}

/** What such a form says. Throws a `Problem` for what is no value of its kind. */
export function readClaim(form: FormData): Pick<OwnClaim, 'kind' | 'source'> {
  const kind = kinds.find(kind => kind === textOf(form, 'kind')) ?? 'string'
  const from = sources[textOf(form, 'source') as keyof typeof sources]
  const text = textOf(form, 'value')
  if (text === '') throw wrong('Say what its value is.')
  if (from === 'user') return { kind, source: { user: text } }
  if (from === 'constant')
    return { kind, source: { constant: kind === 'array' ? linesOf(text) : scalarOf(kind, text) } }
  const map = Object.fromEntries(linesOf(text).map(line => entryOf(kind, line)))
  const otherwise = textOf(form, 'otherwise')
  return { kind, source: { [from]: map, ...(otherwise !== '' && { otherwise: scalarOf(kind, otherwise) }) } }
}

const linesOf = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)

function entryOf(kind: Kind, line: string): [name: string, value: Scalar] {
  const [, name, value] = /^(\S+)\s*=\s*(.+)$/.exec(line) ?? []
  if (name === undefined || value === undefined)
    throw wrong(`“${line}” is not like gold = 3: a role or a group, and its value.`)
  return [name, scalarOf(kind, value)]
}

function scalarOf(kind: Kind, text: string): Scalar {
  if (kind === 'number' && Number.isFinite(Number(text))) return Number(text)
  if (kind === 'boolean' && /^(?:true|false)$/.test(text)) return text === 'true'
  if (kind === 'string' || kind === 'array') return text
  throw wrong(kind === 'number' ? `“${text}” is no number.` : `“${text}” is neither true nor false.`)
}

const wrong = (detail: string) => new Problem({ status: 0, code: 'invalid', detail, field: 'value' })

/** Where the value of a claim comes from, in a sentence without its full stop. */
export function sourceText({ user, constant, roles, groups, otherwise }: Source): string {
  if (user !== undefined) return `The field ${user} of the user`
  if (constant !== undefined) return `Always ${JSON.stringify(constant)}`
  const [by, map] = roles ? ['roles', roles] : ['groups', groups ?? {}]
  const values = Object.entries(map).map(([name, value]) => `${name} gives ${JSON.stringify(value)}`)
  const rest = otherwise === undefined ? [] : [`otherwise ${JSON.stringify(otherwise)}`]
  return `By ${by}: ${[...values, ...rest].join(', ')}`
}
