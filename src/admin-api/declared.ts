import Type, { type TUnsafe } from 'typebox'
import type { JsonKind, JsonSchema } from '../clients/property-kinds.ts'

/** The schemas of these kinds by their names, each with what else is said of it. */
export function schemasOf(
  kinds: Readonly<Record<string, Pick<JsonKind<unknown>, 'takes' | 'schema'>>>,
  helpOf: (name: string) => string | undefined = () => undefined,
): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    Object.entries(kinds).map(([name, { takes, schema }]) => [
      name,
      { ...schema, description: helpOf(name) ?? takes },
    ]),
  )
}

/** The schema of an object that has these members and no other; `Value` is its type. */
export function objectOf<Value>(
  title: string,
  properties: Readonly<Record<string, object>>,
  required: readonly string[],
): TUnsafe<Value> {
  return Type.Unsafe<Value>({ title, type: 'object', properties, required, additionalProperties: false })
}
