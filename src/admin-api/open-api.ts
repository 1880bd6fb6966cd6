import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { adminScopes } from '../admin/administrators.ts'
import type { Config } from '../config/load.ts'

/** What the description says beside the routes, from whose schemas the rest is made (OpenAPI 3.1). */
export function openApiDocument({ issuer }: Pick<Config, 'issuer'>): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Mintmark admin API', version: '1' },
      servers: [{ url: issuer }],
      components: {
        securitySchemes: {
          token: {
            type: 'oauth2',
            flows: {
              clientCredentials: {
                tokenUrl: `${issuer}/token`,
                scopes: Object.fromEntries(adminScopes.map(scope => [scope, ''])),
              },
            },
          },
        },
      },
      security: [{ token: [] }],
    },
  }
}
