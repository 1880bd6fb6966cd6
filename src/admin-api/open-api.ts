import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { adminScopes } from '../admin/administrators.ts'
import type { Config } from '../config/load.ts'
import { isObject } from '../values/json.ts'
import { Problem } from './schemas.ts'

/** What the description says beside the routes, from whose schemas the rest is made (OpenAPI 3.1). */
export function openApiDocument({
  issuer,
  adminUrl,
}: Pick<Config, 'issuer' | 'adminUrl'>): FastifyDynamicSwaggerOptions {
  const scopes = Object.fromEntries(adminScopes.map(scope => [scope, scopeText(scope)]))
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Mintmark admin API',
        version: '1',
        description: 'What administrators do to users, clients, resources, sessions and keys.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: adminUrl }],
      components: {
        securitySchemes: {
          token: {
            type: 'oauth2',
            flows: {
              clientCredentials: { tokenUrl: `${issuer}/token`, scopes },
              authorizationCode: {
                authorizationUrl: `${issuer}/authorize`,
                tokenUrl: `${issuer}/token`,
                refreshUrl: `${issuer}/token`,
                scopes,
              },
            },
          },
        },
      },
    },
    // Not the other methods of an address, which are refused.
    transform: ({ schema, url }) => ({
      schema: schema !== undefined && 'operationId' in schema ? schema : { hide: true },
      url,
    }),
    transformObject: found => withSharedParts('openapiObject' in found ? found.openapiObject : {}),
  }
}

function scopeText(scope: string): string {
  const [, noun = '', only] = scope.split(':')
  if (noun === 'read') return 'see everything'
  if (noun === 'write') return 'see and change everything'
  return `${only === 'read' ? 'see' : 'see and change'} ${noun}`
}

/** What each problem means, by its status: said once, and named by every operation that may have it. */
const problems: Readonly<Record<number, readonly [name: string, description: string]>> = {
  400: ['Invalid', 'a parameter, or a member of the body, is not as it is described: `field` names it'],
  401: [
    'Unauthenticated',
    'there is no token that counts; or the person has to log in again: `WWW-Authenticate` says how',
  ],
  403: ['Forbidden', 'the token lacks the scope, its holder the role, or this is not the holder’s to do'],
  404: ['NotFound', 'there is no such object'],
  409: ['Conflict', 'something else is in its way; or the same request is under way (`Retry-After`)'],
  412: ['Changed', 'the object is not as `If-Match` says: somebody else has changed it'],
  413: ['TooLarge', 'the body is too large'],
  415: ['UnsupportedMediaType', 'the body is no JSON'],
  422: ['AnotherRequest', 'the `Idempotency-Key` was sent with another request'],
  503: ['Unavailable', 'it cannot be done now: the same request may be sent again (`Retry-After`)'],
}

type Part = Readonly<Record<string, unknown>>

/** Has every named schema and every problem once, in the components. */
function withSharedParts(document: Part): Part {
  const schemas: Record<string, unknown> = { Problem: { ...Problem, title: 'Problem' } }
  const paths = Object.fromEntries(
    Object.entries(membersOf(document['paths'])).map(([path, item]) => {
      const operations = Object.entries(membersOf(item)).map(([method, operation]) => {
        const shared = membersOf(share(operation, schemas))
        return [method, { ...shared, responses: responsesOf(method, shared) }]
      })
      return [path, Object.fromEntries(operations)]
    }),
  )
  const responses = Object.fromEntries(
    Object.entries(problems).map(([status, [name, description]]) => [
      name,
      {
        description,
        ...(status === '503' && { headers: { 'retry-after': { schema: { type: 'integer' } } } }),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  )
  return { ...document, paths, components: { ...membersOf(document['components']), schemas, responses } }
}

/** The answers of an operation, with the problems that it may meet. */
function responsesOf(method: string, { responses }: Part): Part {
  const isChange = method !== 'get'
  const statuses = [
    400,
    401,
    403,
    // A parameter may name another object too.
    404,
    ...(isChange ? [409, 412, 413, 415] : []),
    ...(method === 'post' ? [422] : []),
    503,
  ]
  const refs = statuses.map(status => [status, { $ref: `#/components/responses/${problems[status]?.[0]}` }])
  const answers = Object.entries(membersOf(responses)).map(([status, answer]) => {
    // Of an answer without a body.
    const { content, ...rest } = membersOf(answer)
    return [status, status === '204' || status === '304' ? rest : { ...rest, content }]
  })
  return Object.fromEntries([...answers, ...refs])
}

/** Puts each schema that has a title where all may name it. */
function share(value: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map(item => share(item, schemas))
  if (!isObject(value)) return value
  const shared = Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, share(member, schemas)]),
  )
  const { title } = value
  if (typeof title !== 'string') return shared
  schemas[title] = shared
  return { $ref: `#/components/schemas/${title}` }
}

function membersOf(value: unknown): Part {
  return isObject(value) ? value : {}
}
