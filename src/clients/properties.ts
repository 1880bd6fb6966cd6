import type { ClientTable } from '../../db/schema.ts'
import { grantNames, grantTypeNamed, isGrantType } from '../protocol/grant-types.ts'
import { isOrigin, originSentence } from '../protocol/origin.ts'
import { sessionLimits } from '../protocol/refresh-token.ts'
import { isResourceUri, resourceSentence } from '../protocol/resource.ts'
import { isScopeToken, scopeSentence } from '../protocol/scope.ts'
import { detailTypesProperty } from './detail-type-kind.ts'
import { logInProperties } from './log-in-properties.ts'
import { choice, duration, flag, list, object, requirement, text, type Kind } from './property-kinds.ts'
import { property, type Group, type PropertyOption } from './property.ts'

/*
 * The properties of a client. One more is a row here, its column (db/schema.ts and a migration), and its rule
 * in judge-client.ts. From the table follow the type ClientMetadata, the row of the database
 * (registration.ts), the options of `client create` and `client update`, the keys of a file for `apply`, the
 * JSON document of a client, and the schemas of the admin API.
 */

/** `strict`: no retry. `reuse`: no rotation. */
export const refreshPolicies = ['rotate', 'strict', 'reuse'] as const

export type RefreshPolicy = (typeof refreshPolicies)[number]

const scopes = list(isScopeToken, {
  takes: 'scopes: visible ASCII without quotes and backslashes',
  sentence: scopeSentence,
})
const resourceUris = list(isResourceUri, { takes: 'URIs of resources', sentence: resourceSentence })
const lifetime = duration(...sessionLimits)

/** Every property by its name (RFC 7591 §2, where it has one there), in the order of documents. */
export const properties = {
  /** `token_endpoint_auth_method` `none`. */
  public: property({
    kind: flag,
    column: null,
    group: 'identity',
    option: {
      flags: '--public',
      help: 'it cannot keep a secret: a browser or mobile app',
      updateHelp: null,
    },
  }),
  /** Its public keys (RFC 7517 §5): it signs assertions, and has no secret. */
  jwks: property({ kind: object, column: null, group: 'proof', option: null }),
  /** The URL where it publishes them. */
  jwks_uri: property({ kind: text('a URL'), column: null, group: 'proof', option: null }),
  /** Trusted issuers say who it is (docs/workload-identity.md): it has no secret and no keys of its own. */
  federated: property({
    kind: flag,
    column: null,
    group: 'proof',
    option: {
      flags: '--federated',
      help: 'trusted issuers say who it is, and it has no secret: see `mintmark issuer create --help`',
      updateHelp: 'from now on trusted issuers alone say who it is: its secret or its keys end',
    },
  }),
  /**
   * The name in its TLS certificate after its kind, like `san_dns:app.example` (RFC 8705 §2.1.2), and no
   * secret.
   */
  tls_subject: property({
    kind: text('a name after its kind, like san_dns:app.example'),
    column: null,
    group: 'proof',
    option: {
      flags: '--tls-subject <kind:name>',
      help: 'the name in its TLS certificate (tls_client_auth): san_dns:app.example',
      updateHelp: 'the name in its TLS certificate, where it is known by one',
    },
  }),
  /** It shows a certificate for one of its keys, instead of signing assertions (RFC 8705 §2.2). */
  tls_self_signed: property({
    kind: flag,
    column: null,
    group: 'proof',
    option: {
      flags: '--tls-self-signed',
      help: 'it shows a certificate for one of its keys (self_signed_tls_client_auth)',
      updateHelp: null,
    },
  }),
  /** All its access tokens are bound to its certificate (RFC 8705 §3.4). */
  tls_client_certificate_bound_access_tokens: property({
    kind: flag,
    column: 'tls_bound',
    group: 'proof',
    option: {
      flags: '--tls-bound',
      help: 'its access tokens work only together with its certificate',
      without: 'they are bearer tokens',
    },
  }),
  /**
   * All its access tokens are bound to a DPoP key: a token request without a proof is refused (RFC 9449
   * §5.2).
   */
  dpop_bound_access_tokens: property({
    kind: requirement,
    column: 'dpop_bound',
    group: 'proof',
    option: {
      flags: '--dpop <policy>',
      help: 'required: its access tokens work only together with a key of its own',
      updateHelp: 'required: its access tokens work only together with a key',
    },
  }),
  grant_types: property({
    kind: list(item => isGrantType(grantTypeNamed(item)), {
      takes: 'grant types',
      sentence: `A grant type is one of ${grantNames.join(', ')}.`,
      spell: grantTypeNamed,
      isDeclarable: item => item !== '',
    }),
    column: 'grant_types',
    group: 'access',
    option: {
      flags: '--grant <grant...>',
      help: `what it may ask tokens with: ${grantNames.join(', ')}`,
      updateHelp: 'what it may ask tokens with',
      without: 'nothing',
    },
  }),
  scope: property({
    kind: scopes,
    column: 'scope',
    group: 'access',
    option: { flags: '--scope <scope...>', help: 'the scopes it may ask for', without: 'none' },
  }),
  authorization_details_types: detailTypesProperty,
  /** The URIs of the resources it may ask tokens for. The first is the default. */
  resources: property({
    kind: resourceUris,
    column: 'resources',
    group: 'access',
    option: {
      flags: '--resource <uri...>',
      help: 'the APIs it may ask tokens for; the first is the default',
      without: 'none',
    },
  }),
  /** The URIs of the resources it is the resource server of: it may introspect their tokens. */
  resource_server: property({
    kind: resourceUris,
    column: 'introspects',
    group: 'access',
    option: {
      flags: '--resource-server <uri...>',
      help: 'the APIs it serves: it may introspect their tokens',
      without: 'none',
    },
  }),
  admin: property({
    kind: flag,
    column: 'is_admin',
    group: 'power',
    option: {
      flags: '--admin',
      help: "it may introspect and revoke everybody's tokens",
      without: 'only its own',
    },
  }),
  /** Tokens that it exchanges without an actor_token do not say that it acts (RFC 8693 §1.1). */
  may_impersonate: property({
    kind: flag,
    column: 'may_impersonate',
    group: 'power',
    option: {
      flags: '--may-impersonate',
      help: 'the tokens of users that it exchanges need not say that it acts for them',
      without: 'they always say so',
    },
  }),
  refresh: property({
    kind: choice(refreshPolicies, 'rotate'),
    column: 'refresh_policy',
    group: 'sessions',
    option: { flags: '--refresh <policy>', help: 'rotate, strict (no retry), or reuse (no rotation)' },
  }),
  refresh_idle_ttl: property({
    kind: lifetime,
    column: 'refresh_idle_seconds',
    group: 'sessions',
    option: {
      flags: '--refresh-idle-ttl <duration>',
      help: 'how long a session lives without a refresh',
      without: "as long as the server's setting says",
    },
  }),
  refresh_absolute_ttl: property({
    kind: lifetime,
    column: 'refresh_absolute_seconds',
    group: 'sessions',
    option: {
      flags: '--refresh-absolute-ttl <duration>',
      help: 'how long a session lives at the most',
      without: "as long as the server's setting says",
    },
  }),
  /** It runs on a server and says in each request which address its user has (RFC 7239). */
  forwards_user_address: property({
    kind: flag,
    column: 'forwards_user_address',
    group: 'sessions',
    option: {
      flags: '--forwards-user-address',
      help: "it sends its user's address with each log-in (header Forwarded)",
      without: 'it does not',
    },
  }),
  /** The origins of its pages; none for those of the server's setting. */
  cors_origins: property({
    kind: list(isOrigin, { takes: 'origins, like https://app.example', sentence: originSentence }),
    column: 'cors_origins',
    group: 'pages',
    option: {
      flags: '--cors-origin <origin...>',
      help: 'the origins of its pages, if not those of the server',
      without: 'those of the server',
    },
  }),
  ...logInProperties,
} as const

type Properties = typeof properties
export type PropertyName = keyof Properties

/** The properties of one client. Lifetimes are in seconds. */
export type PropertyValues = {
  readonly [Name in PropertyName]: Properties[Name]['kind']['fallback']
}

/** The declaration of a client (RFC 7591 §2), before it has a row. */
export interface ClientMetadata extends PropertyValues {
  readonly client_id: string
}

/** The columns of the properties that have one. */
export type PropertyColumns = {
  [Column in NonNullable<Properties[PropertyName]['column']>]: ClientTable[Column]
}

/** Any of the rows: its kind takes what comes from the same row alone. */
export interface AnyProperty {
  readonly kind: Kind<unknown, unknown>
  readonly column: keyof PropertyColumns | null
  readonly group: Group
  readonly option: PropertyOption | null
}

/** Whether it can be changed by itself: how a client authenticates is changed in other ways. */
export function isChangeable({ option }: AnyProperty): boolean {
  return option !== null && option.updateHelp !== null
}

export const propertyNames = Object.keys(properties) as readonly PropertyName[]

type PropertyKinds = { readonly [Name in PropertyName]: Properties[Name]['kind'] }

/** The kind of each property. */
export const propertyKinds = Object.fromEntries(
  propertyNames.map(name => [name, properties[name].kind]),
) as PropertyKinds

/** One value for each property; `valueOf` returns one of the kind of that row. */
export function eachProperty(
  valueOf: (name: PropertyName, property: AnyProperty) => unknown,
): PropertyValues {
  const values = propertyNames.map(name => [name, valueOf(name, properties[name])])
  // Each name has a value of its own kind, which the type of fromEntries cannot say.
  return Object.fromEntries(values) as PropertyValues
}

/** The values that `valueOf` returns, without those that are undefined. */
export function someProperties(
  valueOf: (name: PropertyName, property: AnyProperty) => unknown,
): Partial<PropertyValues> {
  const values = propertyNames
    .map(name => [name, valueOf(name, properties[name])] as const)
    .filter(([, value]) => value !== undefined)
  // Here too.
  return Object.fromEntries(values) as Partial<PropertyValues>
}

/** The properties of a client of which nothing is said. */
export const plainProperties = eachProperty((_, { kind }) => kind.fallback)

/** The values of the properties that have a column each, as those columns. */
export function propertyColumns(values: PropertyValues): PropertyColumns {
  const columns = propertyNames.flatMap(name => {
    const { kind, column }: AnyProperty = properties[name]
    return column === null ? [] : [[column, kind.toColumn(values[name])]]
  })
  // Here too each has its own.
  return Object.fromEntries(columns) as PropertyColumns
}
