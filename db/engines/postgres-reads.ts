import { CompiledQuery } from 'kysely'
import { isAboutData } from './postgres-errors.ts'

/** The types, in PostgreSQL, of values that many requests read by. */
export type ValueType = 'uuid' | 'text' | 'bigint'

type Send = <Row>(query: CompiledQuery<Row>) => Promise<readonly Row[]>

export type Reads = <Row>(query: CompiledQuery<Row>, types: readonly ValueType[]) => Promise<readonly Row[]>

interface WaitingRead {
  readonly query: CompiledQuery<unknown>
  readonly resolve: (rows: readonly unknown[]) => void
  readonly reject: (error: unknown) => void
}

/** Those of one statement, which differ in their values alone. */
interface Together {
  readonly types: readonly ValueType[]
  readonly reads: WaitingRead[]
}

/** How many are one statement at the most. */
const togetherMax = 128

/**
 * Makes what sends reads that arrive in one turn of the event loop as one statement: sending one and hearing
 * of it costs far more than a row by its key. A read that comes alone is sent as it is, in the same turn, and
 * none waits for one that is under way.
 */
export function readsTogether(send: Send): Reads {
  let arrived = new Map<string, Together>()

  const sendAll = () => {
    const all = arrived
    arrived = new Map()
    for (const { types, reads } of all.values()) {
      for (let i = 0; i < reads.length; i += togetherMax) {
        void answer(types, reads.slice(i, i + togetherMax))
      }
    }
  }

  const answer = async (types: readonly ValueType[], reads: readonly WaitingRead[]): Promise<void> => {
    const [first, ...others] = reads
    if (!first) return
    try {
      if (others.length === 0) return first.resolve(await send(first.query))
      const rowsOfEach = await readMany(send, types, [first, ...others])
      reads.forEach(({ resolve }, i) => resolve(rowsOfEach[i] ?? []))
    } catch (error) {
      // The values of one are no reason to fail its neighbours.
      if (others.length > 0 && isAboutData(error)) for (const read of reads) void answer(types, [read])
      else for (const { reject } of reads) reject(error)
    }
  }

  return <Row>(query: CompiledQuery<Row>, types: readonly ValueType[]) =>
    new Promise<readonly Row[]>((resolve, reject) => {
      // It runs once all that this turn of the event loop has made ready has run.
      if (arrived.size === 0) process.nextTick(sendAll)
      const together = arrived.get(query.sql) ?? { types, reads: [] }
      arrived.set(query.sql, together)
      together.reads.push({ query, resolve: resolve as WaitingRead['resolve'], reject })
    })
}

async function readMany(
  send: Send,
  types: readonly ValueType[],
  reads: readonly [WaitingRead, ...WaitingRead[]],
): Promise<readonly (readonly unknown[])[]> {
  const [{ query }] = reads
  const values = types.map((type, i) => reads.map(read => elementOf(type, read.query.parameters[i])))
  const rows = await send(CompiledQuery.raw(statementOfMany(query.sql, types), values))
  const rowsOfEach: unknown[][] = reads.map(() => [])
  for (const { number_of_read: number, ...row } of rows as readonly NumberedRow[])
    rowsOfEach[number - 1]?.push(row)
  return rowsOfEach
}

type NumberedRow = { readonly number_of_read: number } & Readonly<Record<string, unknown>>

/** The same statement for each of many, whose values come as one array for each parameter. */
function statementOfMany(sql: string, types: readonly ValueType[]): string {
  const columns = types.map((_, i) => `value_${i + 1}`)
  const arrays = types.map((type, i) => `$${i + 1}::${type}[]`)
  return `select given.number_of_read, found.*
    from unnest(${arrays.join(', ')}) with ordinality as given(${columns.join(', ')}, number_of_read)
    cross join lateral (${sql.replaceAll(/\$(\d+)/g, 'given.value_$1')}) as found`
}

/** In an array pg would write any Buffer as a `bytea`. */
function elementOf(type: ValueType, value: unknown): unknown {
  return type === 'uuid' ? (value as Buffer).toString('hex') : value
}
