import type { ColumnDataType, Expression } from 'kysely'

/** Column types that the two engines spell differently. */
export interface ColumnTypes {
  readonly engine: 'sqlite' | 'postgres'
  readonly uuid: ColumnDataType | Expression<unknown>
  readonly bytes: ColumnDataType | Expression<unknown>
  /** Numbers itself. */
  readonly serial: ColumnDataType | Expression<unknown>
}
