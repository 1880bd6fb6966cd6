import type { Generated } from 'kysely'

/** At most one row: the part that this database has in a copy of the installation to another database. */
export interface CopyTable {
  /** The same in both. */
  id: string
  role: 'source' | 'target'
  began_at: number
}

/** How far a copy has come, in the database that it goes to. */
export interface CopyProgressTable {
  name: string
  copy_id: string
  /** The last key that is done. */
  cursor_text: string | null
  rows_done: number
  is_done: number
}

/** What has changed since a copy began, noted by triggers in the database that it comes from. */
export interface CopyChangeTable {
  seq: Generated<number>
  table_name: string
  key_text: string
}
