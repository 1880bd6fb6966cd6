import type * as fastify from '../dist/resource-server/fastify.js' with { 'resolution-mode': 'import' }

export type * from '../dist/resource-server/fastify.js' with { 'resolution-mode': 'import' }
export declare const resourceServer: typeof fastify.resourceServer
