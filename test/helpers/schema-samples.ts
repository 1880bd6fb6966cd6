import fc, { type Arbitrary } from 'fast-check'
import { anyCharacter } from './any-character.ts'

/** As much of JSON Schema as the admin API has. */
export interface JsonSchema {
  readonly $ref?: string
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly patternProperties?: object
  readonly items?: JsonSchema
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly maxItems?: number
}

/** Values of a schema. */
export function valuesOf(schema: JsonSchema): Arbitrary<unknown> {
  const { type, pattern, minLength = 0, maxLength = 40, minimum = -5, maximum = 1000 } = schema
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(valuesOf))
  switch (type) {
    case 'string':
      if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern, 'u'))
      if (schema.format === 'date-time') return fc.constant('2030-01-02T03:04:05Z')
      return fc.string({ unit: anyCharacter, minLength, maxLength: Math.min(maxLength, minLength + 40) })
    case 'integer':
    case 'number':
      return fc.integer({ min: minimum, max: maximum })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}), { maxLength: Math.min(schema.maxItems ?? 3, 3) })
    case 'object':
      return objectsOf(schema)
    default:
      return fc.jsonValue()
  }
}

function objectsOf({ properties = {}, required = [] }: JsonSchema): Arbitrary<unknown> {
  return fc.record(
    Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)])),
    { requiredKeys: [...required] },
  )
}

/** The schema with what it names in its place, and closed to members that it does not describe. */
export function closed(schema: JsonSchema, schemas: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const named = schema.$ref === undefined ? schema : schemas[schema.$ref.split('/').at(-1) ?? '']
  if (!named) throw new Error(`there is no ${schema.$ref}`)
  const inside = (part: JsonSchema) => closed(part, schemas)
  const { anyOf, items, properties } = named
  const isOpen = named.additionalProperties !== undefined || named.patternProperties !== undefined
  return {
    ...named,
    ...(anyOf && { anyOf: anyOf.map(inside) }),
    ...(items && { items: inside(items) }),
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, inside(part)])),
      ...(!isOpen && { additionalProperties: false }),
    }),
  }
}
