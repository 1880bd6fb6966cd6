import type { JsonKind } from '../clients/property-kinds.ts'
import { Refusal } from '../errors.ts'

type Kinds = Readonly<Record<string, JsonKind<unknown>>>

/** The values that a program declares in JSON, by the kinds that they have. Refuses one of another kind. */
export function readDeclared<Known extends Kinds>(
  kinds: Known,
  declared: Readonly<Record<string, unknown>>,
): { readonly [Name in keyof Known]?: Known[Name]['fallback'] } {
  const read = Object.entries(declared).flatMap(([name, value]) => {
    const kind = kinds[name]
    if (!kind || value === undefined) return []
    const given = kind.fromFile(value)
    if (given === undefined) throw new Refusal('invalid', `${name} takes ${kind.takes}`, undefined, name)
    return [[name, given] as const]
  })
  // Each name has a value of its own kind, which the type of fromEntries cannot say.
  return Object.fromEntries(read) as { [Name in keyof Known]?: Known[Name]['fallback'] }
}
