import Type from 'typebox'
import { readDeclared } from '../admin/declared.ts'
import {
  createTrustedIssuer,
  deleteTrustedIssuer,
  describeTrustedIssuer,
  existingTrustedIssuer,
  keyFaultOf,
  listTrustedIssuers,
  trustedIssuerWarnings,
  updateTrustedIssuer,
} from '../admin/trusted-issuers.ts'
import { trustedIssuerKinds, trustedIssuerMetadata } from '../clients/trusted-issuer.ts'
import { objectOf, schemasOf } from './declared.ts'
import { route, type AnyRoute } from './route.ts'
import { Time, Warnings } from './schemas.ts'

const Url = Type.String({
  pattern: '^[\\x21-\\x7e]{1,500}$',
  maxLength: 500,
  description: 'the `iss` of its assertions, to the last slash; percent-encoded in a path',
})

const help: Readonly<Record<string, string>> = {
  audience: 'the only aud of its assertions; null for the issuer of this server',
  jwks: 'its public keys (RFC 7517); null where they are fetched',
  jwks_uri: 'where it publishes its keys; null where its metadata say so',
  max_life: 'for how many seconds an assertion may live; null for 3600',
  reusable: 'whether one assertion may be used more than once, until its end',
  subjects: 'which subjects name which clients, and the claims that must be so',
}

const ofKinds = schemasOf(trustedIssuerKinds, name => help[name])
const members = { issuer: Url, ...ofKinds, created_at: Time }
const TrustedIssuer = objectOf('TrustedIssuer', members, Object.keys(members))
const ChangedTrustedIssuer = objectOf('ChangedTrustedIssuer', { ...members, warnings: Warnings }, [
  ...Object.keys(members),
  'warnings',
])
const beside = ['warnings']

const ofIssuer = { params: Type.Object({ issuer: Url }) }

const change = { noun: 'clients', isChange: true } as const
const see = { noun: 'clients', isChange: false } as const

const listTrustedIssuersRoute = route(
  {
    method: 'GET',
    url: '/issuers',
    name: 'listTrustedIssuers',
    summary:
      'All outside issuers that are trusted to name clients, in the order of their URLs: there are 100 at the most',
    need: see,
    answer: {
      status: 200,
      schema: Type.Object({ items: Type.Array(TrustedIssuer) }, { title: 'TrustedIssuers' }),
    },
  },
  async admin => ({ items: (await listTrustedIssuers(admin)).map(describeTrustedIssuer) }),
)

const readTrustedIssuerRoute = route(
  {
    method: 'GET',
    url: '/issuers/:issuer',
    name: 'readTrustedIssuer',
    summary: 'One trusted issuer',
    need: see,
    ...ofIssuer,
    answer: { status: 200, schema: TrustedIssuer },
    hasEtag: true,
  },
  async (admin, { params: { issuer } }) => describeTrustedIssuer(await existingTrustedIssuer(admin, issuer)),
)

const createTrustedIssuerRoute = route(
  {
    method: 'POST',
    url: '/issuers',
    name: 'createTrustedIssuer',
    summary: 'Trust an outside issuer to name clients (RFC 7523): a CI, a cluster, another cloud',
    need: change,
    body: objectOf<Readonly<Record<string, unknown>> & { readonly issuer: string }>(
      'NewTrustedIssuer',
      { issuer: Url, ...ofKinds },
      ['issuer'],
    ),
    answer: { status: 201, schema: ChangedTrustedIssuer },
    hasEtag: true,
    beside,
  },
  async (admin, { body: { issuer, ...declared } }) => {
    const { audience, jwks, jwks_uri, max_life, reusable, subjects } = trustedIssuerKinds
    const created = await createTrustedIssuer(admin, {
      issuer,
      audience: audience.fallback,
      jwks: jwks.fallback,
      jwks_uri: jwks_uri.fallback,
      max_life: max_life.fallback,
      reusable: reusable.fallback,
      subjects: subjects.fallback,
      ...readDeclared(trustedIssuerKinds, declared),
    })
    const metadata = trustedIssuerMetadata(created)
    const fault = await keyFaultOf(admin, metadata)
    const about = fault === undefined ? [] : [`its keys cannot be had now: ${fault}`]
    return { ...describeTrustedIssuer(created), warnings: [...trustedIssuerWarnings(metadata), ...about] }
  },
)

const updateTrustedIssuerRoute = route(
  {
    method: 'PATCH',
    url: '/issuers/:issuer',
    name: 'updateTrustedIssuer',
    summary: 'Change what an issuer is trusted for; what is left out stays, and subjects are given whole',
    need: change,
    ...ofIssuer,
    body: objectOf<Readonly<Record<string, unknown>>>('TrustedIssuerChanges', ofKinds, []),
    answer: { status: 200, schema: ChangedTrustedIssuer },
    hasEtag: true,
    beside,
  },
  async (admin, { params: { issuer }, body }) => {
    const changed = await updateTrustedIssuer(admin, issuer, readDeclared(trustedIssuerKinds, body))
    const warnings = trustedIssuerWarnings(trustedIssuerMetadata(changed.issuer))
    return { ...describeTrustedIssuer(changed.issuer), warnings }
  },
)

const deleteTrustedIssuerRoute = route(
  {
    method: 'DELETE',
    url: '/issuers/:issuer',
    name: 'deleteTrustedIssuer',
    summary: 'Trust an issuer no more; tokens that it has led to run out by themselves',
    need: change,
    ...ofIssuer,
    answer: { status: 204 },
    hasEtag: true,
  },
  async (admin, { params: { issuer } }) => deleteTrustedIssuer(admin, issuer),
)

/** `/issuers`: outside issuers that are trusted to name clients. */
export const trustedIssuerRoutes: readonly AnyRoute[] = [
  listTrustedIssuersRoute,
  readTrustedIssuerRoute,
  createTrustedIssuerRoute,
  updateTrustedIssuerRoute,
  deleteTrustedIssuerRoute,
]
