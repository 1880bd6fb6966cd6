import Type, { type Static } from 'typebox'
import { keepLimits } from '../admin/client-credentials.ts'
import { clientIdForm } from '../clients/judge-client.ts'
import {
  isChangeable,
  properties,
  propertyKinds,
  propertyNames,
  type AnyProperty,
  type PropertyName,
} from '../clients/properties.ts'
import { objectOf, schemasOf } from './declared.ts'
import { algChangeMembers, Time, TimeOrNull, Warnings } from './schemas.ts'

/** Of a client that administrators make. */
const NewClientId = Type.String({
  pattern: clientIdForm.source,
  maxLength: 128,
  description: 'RFC 6749 §2.2',
})

export const ClientId = Type.String({
  pattern: `${clientIdForm.source}|^https://[\\x21-\\x7e]{1,247}$`,
  maxLength: 255,
  description: 'RFC 6749 §2.2, or the URL of a document that describes it; percent-encoded in a path',
})

/** A schema for each row of the table of properties. */
const ofProperties = schemasOf(propertyKinds, name => {
  const { option }: AnyProperty = properties[name as PropertyName]
  return option?.help.replace(/^required: /, '')
})

const changeable = Object.fromEntries(
  propertyNames.filter(name => isChangeable(properties[name])).map(name => [name, ofProperties[name] ?? {}]),
)

/** A client, and what an answer says beside it; `always`, or only at times. */
function clientWith(
  title: string,
  always: Readonly<Record<string, object>> = {},
  atTimes: Readonly<Record<string, object>> = {},
) {
  const ofClient = {
    client_id: ClientId,
    ...ofProperties,
    made_by: Type.String({
      enum: ['administrator', 'document', 'registration'],
      description: 'who says what it is: the document at its client_id, or the client itself',
    }),
    claimed_name: Type.Union([Type.String(), Type.Null()], {
      description: 'what such a client calls itself, which nobody has checked',
    }),
    token_endpoint_auth_method: Type.String({ description: 'RFC 7591 §2' }),
    client_secret_id: Type.Union([Type.String(), Type.Null()], {
      description: 'tells two secrets apart, and nothing of them',
    }),
    credentials_set_at: Type.Union([Time, Type.Null()], {
      description: 'since when it has its secret, its keys or its certificate; null where that is not known',
    }),
    created_at: Time,
    disabled_at: TimeOrNull,
    old_secret_expires_at: TimeOrNull,
    keys_expire_at: TimeOrNull,
  }
  const required = Object.keys({ ...ofClient, ...always })
  return objectOf(title, { ...ofClient, ...always, ...atTimes }, required)
}

const ClientSecret = Type.String({ description: 'it is shown here alone' })

export const Client = clientWith('Client')
export const ChangedClient = clientWith('ChangedClient', { warnings: Warnings }, algChangeMembers)
export const ClientWithSecret = clientWith('ClientWithSecret', { client_secret: ClientSecret })
export const CreatedClient = clientWith(
  'CreatedClient',
  { warnings: Warnings },
  { client_secret: ClientSecret, ...algChangeMembers },
)
export const ClientWithKeys = clientWith('ClientWithKeys', { warnings: Warnings })

/** Members of answers that say more than the client. */
export const beside = ['client_secret', 'warnings', ...Object.keys(algChangeMembers)]

export const KeepOld = Type.Optional(
  Type.Integer({
    minimum: keepLimits[0],
    maximum: keepLimits[1],
    description: 'for how many seconds the old secret works too; without it, that ends now',
  }),
)

export const NewKeys = objectOf<{
  readonly jwks?: object | null
  readonly jwks_uri?: string | null
  readonly keep_old_seconds?: Static<typeof KeepOld>
}>(
  'NewKeys',
  {
    jwks: { ...ofProperties['jwks'], description: 'its public keys (RFC 7517 §5)' },
    jwks_uri: { ...ofProperties['jwks_uri'], description: 'where it publishes them' },
    keep_old_seconds: KeepOld,
  },
  [],
)

type Members = Readonly<Record<string, unknown>>

export const NewClient = objectOf<Members & { readonly client_id: string }>(
  'NewClient',
  { client_id: NewClientId, ...ofProperties },
  ['client_id'],
)

/** How a client authenticates is changed in other ways. */
export const ClientChanges = objectOf<Members>('ClientChanges', changeable, [])
