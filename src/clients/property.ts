import type { ClientTable } from '../../db/schema.ts'
import type { Kind } from './property-kinds.ts'

/** Groups of options that belong together. */
export type Group = 'identity' | 'access' | 'proof' | 'power' | 'sessions' | 'pages' | 'people'

/** One property. */
export interface Property<Value, Stored, Column extends ColumnOf<Stored> | null> {
  readonly kind: Kind<Value, Stored>
  /**
   * null for a part of what the client authenticates with: registration.ts makes columns of all parts
   * together.
   */
  readonly column: Column
  readonly group: Group
  /** null where it is given in another way. */
  readonly option: PropertyOption | null
}

export interface PropertyOption {
  readonly flags: string
  readonly help: string
  /** Where `client update` says it in another way; null where it cannot be changed. */
  readonly updateHelp?: string | null
  /** Without it the client has what the option `--no-…` of `client update` says. */
  readonly without?: string
}

/** The columns that hold such values. */
type ColumnOf<Stored> = {
  [Column in keyof ClientTable]: [ClientTable[Column], Stored] extends [Stored, ClientTable[Column]]
    ? Column
    : never
}[keyof ClientTable]

/** A row, whose column holds what its kind stores. */
export function property<Value, Stored, Column extends ColumnOf<Stored> | null>(
  row: Property<Value, Stored, Column>,
): Property<Value, Stored, Column> {
  return row
}
