import { Refusal } from '../errors.ts'
import { longestTokenSeconds } from '../protocol/access-token.ts'
import { refreshPolicies, type ClientMetadata, type RefreshPolicy } from '../protocol/client-metadata.ts'
import { isOrigin } from '../protocol/origin.ts'
import { isResourceUri } from '../protocol/resource.ts'
import { isScopeToken } from '../protocol/scope.ts'
import { parseDuration } from '../values/duration.ts'
import { nearestName } from '../values/suggestion.ts'
import { algs, type ResourceMetadata } from './resources.ts'

/** The content of a file for `mintmark apply`. */
export interface Declaration {
  readonly resources: readonly ResourceMetadata[]
  readonly clients: readonly ClientMetadata[]
}

/** Reads a YAML or JSON text, which refusals call `name`. Refuses one that is not valid, with all reasons. */
export async function parseDeclaration(name: string, text: string): Promise<Declaration> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { prettyErrors: true })
  const mistakes = [...document.errors, ...document.warnings].map(({ message }) => message.trim())
  if (mistakes.length > 0) throw new Refusal('invalid', [`${name} cannot be read:`, ...mistakes].join('\n- '))
  const { declaration, problems } = readDeclaration(document.toJS())
  if (problems.length > 0) throw new Refusal('invalid', [`${name} is not valid:`, ...problems].join('\n- '))
  return declaration
}

/** Reads a parsed text. `problems` has everything that is wrong; while there is any, the rest is not to be used. */
function readDeclaration(value: unknown): {
  readonly declaration: Declaration
  readonly problems: readonly string[]
} {
  const problems: string[] = []
  const file = fieldsOf(value, 'the file', ['resources', 'clients'], problems)
  const declaration = {
    resources: file.items('resources').map((item, i) => readResource(item, `resources[${i}]`, problems)),
    clients: file.items('clients').map((item, i) => readClient(item, `clients[${i}]`, problems)),
  }
  problems.push(
    ...repeated(
      'resource',
      declaration.resources.map(({ uri }) => uri),
    ),
  )
  problems.push(
    ...repeated(
      'client',
      declaration.clients.map(({ client_id }) => client_id),
    ),
  )
  return { declaration, problems }
}

function readResource(value: unknown, path: string, problems: string[]): ResourceMetadata {
  const fields = fieldsOf(value, path, ['uri', 'scope', 'alg', 'access_token_ttl', 'status'], problems)
  const uri = fields.text('uri', undefined, isResourceUri, 'an absolute URI without a fragment (RFC 8707)')
  return {
    uri,
    scope: fields.list('scope', isScopeToken, 'scopes: visible ASCII without quotes and backslashes'),
    alg: fields.text('alg', 'ES256', text => algs.some(alg => alg === text), `one of ${algs.join(', ')}`),
    access_token_ttl: fields.duration('access_token_ttl', 10, longestTokenSeconds),
    status: fields.flag('status', true),
  }
}

const clientKeys = [
  'client_id',
  'public',
  'jwks',
  'jwks_uri',
  'tls_subject',
  'tls_self_signed',
  'tls_client_certificate_bound_access_tokens',
  'dpop_bound_access_tokens',
  'grant_types',
  'scope',
  'resources',
  'resource_server',
  'admin',
  'refresh',
  'refresh_idle_ttl',
  'refresh_absolute_ttl',
  'forwards_user_address',
  'cors_origins',
] as const satisfies readonly (keyof ClientMetadata)[]

/** What the values may be is judged with the whole client, by `judgeClient`. */
function readClient(value: unknown, path: string, problems: string[]): ClientMetadata {
  const fields = fieldsOf(value, path, clientKeys, problems)
  const policy = fields.text(
    'refresh',
    'rotate',
    text => refreshPolicies.some(p => p === text),
    `one of ${refreshPolicies.join(', ')}`,
  )
  const tenYears = 3650 * 86_400
  return {
    client_id: fields.text('client_id', undefined, text => text !== '', 'a client_id'),
    public: fields.flag('public'),
    jwks: fields.optional('jwks', isObject, 'an object'),
    jwks_uri: fields.optional('jwks_uri', isText, 'a URL'),
    tls_subject: fields.optional('tls_subject', isText, 'a name after its kind, like san_dns:app.example'),
    tls_self_signed: fields.flag('tls_self_signed'),
    tls_client_certificate_bound_access_tokens: fields.flag('tls_client_certificate_bound_access_tokens'),
    dpop_bound_access_tokens: fields.flag('dpop_bound_access_tokens'),
    grant_types: fields.list('grant_types', text => text !== '', 'grant types'),
    scope: fields.list('scope', isScopeToken, 'scopes: visible ASCII without quotes and backslashes'),
    resources: fields.list('resources', isResourceUri, 'URIs of resources'),
    resource_server: fields.list('resource_server', isResourceUri, 'URIs of resources'),
    admin: fields.flag('admin'),
    refresh: refreshPolicies.find(p => p === policy) ?? ('rotate' satisfies RefreshPolicy),
    refresh_idle_ttl: fields.duration('refresh_idle_ttl', 60, tenYears),
    refresh_absolute_ttl: fields.duration('refresh_absolute_ttl', 60, tenYears),
    forwards_user_address: fields.flag('forwards_user_address'),
    cors_origins: fields.list('cors_origins', isOrigin, 'origins, like https://app.example'),
  }
}

/** Reads the fields of one object, and notes what is wrong with them under their path. */
function fieldsOf(value: unknown, path: string, keys: readonly string[], problems: string[]) {
  const isRead = isObject(value)
  const fields = new Map<string, unknown>(isRead ? Object.entries(value) : [])
  if (!isRead) problems.push(`${path} takes an object with ${keys.join(', ')}`)
  for (const key of fields.keys()) {
    if (keys.includes(key)) continue
    const nearest = nearestName(key, keys)
    problems.push(
      `${path} has ${JSON.stringify(key)}, which is not known${nearest ? `; did you mean ${nearest}?` : ''}`,
    )
  }
  const refuse = (key: string, takes: string) => {
    problems.push(`${path}.${key} ${fields.has(key) ? `takes ${takes}` : `is missing: ${takes}`}`)
  }
  return {
    items: (key: string): readonly unknown[] => {
      const items = fields.get(key) ?? []
      if (!Array.isArray(items)) refuse(key, 'a list')
      return Array.isArray(items) ? items : []
    },
    /** Without a fallback, it must be there. */
    text: (
      key: string,
      fallback: string | undefined,
      isValid: (text: string) => boolean,
      takes: string,
    ): string => {
      const text = fields.has(key) ? fields.get(key) : fallback
      if (typeof text === 'string' && isValid(text)) return text
      if (isRead) refuse(key, takes)
      return ''
    },
    /** null when it is not there. */
    optional: <T>(key: string, isValid: (value: unknown) => value is T, takes: string): T | null => {
      const value = fields.get(key) ?? null
      if (value === null || isValid(value)) return value
      refuse(key, takes)
      return null
    },
    /** A list, or a text with spaces. */
    list: (key: string, isValid: (item: string) => boolean, takes: string): readonly string[] => {
      const list = fields.has(key) ? fields.get(key) : []
      const items: readonly unknown[] =
        typeof list === 'string'
          ? list.split(/\s+/).filter(item => item !== '')
          : Array.isArray(list)
            ? list
            : [list]
      const texts = items.filter(item => typeof item === 'string').filter(isValid)
      if (texts.length < items.length) refuse(key, `a list of ${takes}`)
      return [...new Set(texts)]
    },
    flag: (key: string, fallback = false): boolean => {
      const flag = fields.has(key) ? fields.get(key) : fallback
      if (typeof flag !== 'boolean') refuse(key, 'true or false')
      return flag === true
    },
    /** Seconds, or a text like `30d`; null when it is not there. */
    duration: (key: string, min: number, max: number): number | null => {
      const duration = fields.get(key)
      if (duration === undefined || duration === null) return null
      const seconds = typeof duration === 'number' ? duration : parseDuration(String(duration))
      if (seconds !== undefined && Number.isInteger(seconds) && seconds >= min && seconds <= max)
        return seconds
      refuse(key, `a duration from ${min} to ${max} seconds, like 300, 90s, 5m, 12h or 30d`)
      return null
    },
  }
}

const isText = (value: unknown) => typeof value === 'string'

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function repeated(what: string, names: readonly string[]): string[] {
  const seen = new Set<string>()
  const repeats = new Set<string>()
  for (const name of names) {
    if (name !== '' && seen.has(name)) repeats.add(name)
    seen.add(name)
  }
  return [...repeats].map(name => `the ${what} ${name} is declared more than once`)
}
