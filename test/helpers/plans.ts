import { CompiledQuery, type KyselyPlugin, type RootOperationNode } from 'kysely'
import type { Database } from '../../db/database.ts'

/** How the database would do each query of the work: a text for each. */
export async function plansOf(db: Database, work: (db: Database) => Promise<unknown>): Promise<string[]> {
  const nodes: RootOperationNode[] = []
  // Parts of a query are transformed too; a result has only the whole.
  const built = new WeakMap<object, RootOperationNode>()
  const noting: KyselyPlugin = {
    transformQuery: ({ node, queryId }) => {
      built.set(queryId, node)
      return node
    },
    transformResult: async ({ result, queryId }) => {
      const node = built.get(queryId)
      if (node) nodes.push(node)
      return result
    },
  }
  await work({ ...db, sql: db.sql.withPlugin(noting) })
  const plans: string[] = []
  for (const node of nodes) {
    const { sql, parameters } = db.sql.getExecutor().compileQuery(node, { queryId: 'explained' })
    const explain = db.engine === 'sqlite' ? 'explain query plan' : 'explain'
    const asked = CompiledQuery.raw(`${explain} ${sql}`, [...parameters])
    const { rows } = await db.sql.executeQuery<Readonly<Record<string, string>>>(asked)
    plans.push(rows.map(row => row['detail'] ?? row['QUERY PLAN']).join('; '))
  }
  return plans
}
