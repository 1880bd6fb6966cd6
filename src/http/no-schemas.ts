/**
 * No route has a schema. Without this, Fastify would load what compiles them, which takes a tenth of a start.
 */
export const noSchemas = { buildValidator: unreachable, buildSerializer: unreachable }

function unreachable(): never {
  throw new Error('unreachable: no route has a schema')
}
