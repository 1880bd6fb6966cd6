import type { MemberSchema, ObjectSchema } from '../api/schemas.ts'
import { Check, Field } from './field.tsx'
import { itemsIn, textOf } from './form-data.ts'

type Values = Readonly<Record<string, unknown>>

/** The fields of a form for whatever the API describes. */
export function SchemaFields({ schema, values }: { readonly schema: ObjectSchema; readonly values: Values }) {
  return (
    <>
      {Object.entries(schema).map(([name, member]) => (
        <MemberField key={name} name={name} member={member} value={values[name]} />
      ))}
    </>
  )
}

/** A name of the API in plain words. */
export function labelOf(name: string): string {
  const words = name.split('_').map(word => plainWords[word] ?? word)
  return words.join(' ').replace(/^./, first => first.toUpperCase())
}

const plainWords: Readonly<Record<string, string>> = {
  acr: 'assurance (acr)',
  alg: 'algorithm',
  auth: 'authentication',
  cors: 'CORS',
  dpop: 'DPoP',
  id: 'ID',
  jwks: 'JWKS',
  pkce: 'PKCE',
  tls: 'TLS',
  ttl: 'lifetime',
  uri: 'URI',
  uris: 'URIs',
}

interface MemberFieldProps {
  readonly name: string
  readonly member: MemberSchema
  readonly value: unknown
}

function MemberField({ name, member, value }: MemberFieldProps) {
  const { description = '', minimum, maximum } = member
  const common = { name, label: labelOf(name), hint: hintOf(description) }
  switch (kindOf(member)) {
    case 'choice':
      return <Field {...common} choices={member.enum ?? []} defaultValue={String(value ?? '')} />
    case 'flag':
      return <Check {...common} isOn={value === true} />
    case 'list':
      return <Field {...common} lines={3} defaultValue={Array.isArray(value) ? value.join('\n') : ''} />
    case 'number':
      return (
        <Field {...common} type="number" min={minimum} max={maximum} defaultValue={String(value ?? '')} />
      )
    case 'object':
      return <Field {...common} lines={4} defaultValue={value ? JSON.stringify(value, null, 2) : ''} />
    default:
      return <Field {...common} defaultValue={String(value ?? '')} />
  }
}

/** What the API says of a member, for a form: there an empty field is what is null in a document. */
function hintOf(description: string): string {
  const text = description.replaceAll('; null ', '; empty ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function kindOf({
  type,
  enum: choices,
}: MemberSchema): 'choice' | 'flag' | 'list' | 'number' | 'object' | 'text' {
  const types = [type].flat()
  if (choices) return 'choice'
  if (types.includes('boolean')) return 'flag'
  if (types.includes('array')) return 'list'
  if (types.includes('integer')) return 'number'
  return types.includes('object') ? 'object' : 'text'
}

/** What has been changed in such a form. Throws a `SyntaxError` where an object is none. */
export function changesIn(form: FormData, schema: ObjectSchema, values: Values): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema)
      .map(([name, member]) => [name, valueIn(form, name, member)] as const)
      .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(values[name] ?? emptyOf(value))),
  )
}

const emptyOf = (value: unknown) => (Array.isArray(value) ? [] : typeof value === 'boolean' ? false : null)

function valueIn(form: FormData, name: string, member: MemberSchema): unknown {
  const text = textOf(form, name)
  switch (kindOf(member)) {
    case 'flag':
      return text === 'true'
    case 'list':
      return itemsIn(form, name)
    case 'number':
      return text === '' ? null : Number(text)
    case 'object':
      return text === '' ? null : JSON.parse(text)
    default:
      return text === '' ? null : text
  }
}
