import Type from 'typebox'
import { describeRevokedKey, reasonLengthMax, revokeKey } from '../admin/key-revocation.ts'
import { listKeys, rotateKeys } from '../admin/keys.ts'
import { changePolicy, describePolicy, planPolicy, readPolicy } from '../admin/policy.ts'
import { algs } from '../admin/resources.ts'
import { keyPolicyLimits } from '../protocol/key-lead.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, Time, TimeOrNull } from './schemas.ts'

const Kid = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,128}$',
  maxLength: 128,
  description: 'RFC 7517 §4.5, the whole of it',
})

const Alg = Type.String({ description: 'a JWS algorithm' })

const Phase = Type.Union(
  ['next', 'active', 'retiring', 'revoked'].map(phase => Type.Literal(phase)),
  { description: 'published to follow, signing, verifying only, or revoked' },
)

const Key = Type.Object(
  {
    kid: Kid,
    alg: Alg,
    state: Type.Union([Phase, Type.Null()]),
    published_at: Time,
    signs_from: TimeOrNull,
    retires_at: TimeOrNull,
    gone_at: TimeOrNull,
    verify_until: Time,
    revoked_at: TimeOrNull,
    revoke_reason: Type.Union([Type.String(), Type.Null()]),
    live_tokens_at_most: Type.Integer(),
  },
  { title: 'Key', description: 'times that have not come are plans' },
)

const change = { noun: 'keys', isChange: true } as const
const see = { noun: 'keys', isChange: false } as const

const listKeysRoute = route(
  {
    method: 'GET',
    url: '/keys',
    name: 'listKeys',
    summary: 'The signing keys with their times, the oldest first: all on one page',
    need: see,
    answer: { status: 200, schema: pageOf(Key) },
  },
  async admin => ({ items: await listKeys(admin), next: null }),
)

const rotateKeysRoute = route(
  {
    method: 'POST',
    url: '/keys/rotate',
    name: 'rotateKeys',
    summary: 'Let the next key of an algorithm, or of each, sign as soon as every verifier can know it',
    need: change,
    body: Type.Object(
      { alg: Type.Optional(Type.Union(algs.map(alg => Type.Literal(alg)))) },
      { title: 'KeyRotationRequest', additionalProperties: false },
    ),
    answer: {
      status: 202,
      schema: Type.Object(
        {
          items: Type.Array(
            Type.Object(
              { alg: Alg, from: Kid, to: Type.Union([Kid, Type.Null()]), effective_at: Time },
              { title: 'KeyRotation' },
            ),
          ),
        },
        { title: 'KeyRotations' },
      ),
    },
  },
  async (admin, { body: { alg } }) => ({ items: await rotateKeys(admin, alg) }),
)

const revokeKeyRoute = route(
  {
    method: 'POST',
    url: '/keys/:kid/revoke',
    name: 'revokeKey',
    summary: 'End a key that has leaked: the next one signs at once, and sessions live on',
    need: change,
    params: Type.Object({ kid: Kid }),
    body: Type.Object(
      {
        reason: Type.String({
          minLength: 1,
          maxLength: reasonLengthMax,
          description: 'why, for the list of keys, the log and the audit trail',
        }),
      },
      { title: 'KeyRevocation', additionalProperties: false },
    ),
    answer: {
      status: 200,
      schema: Type.Object(
        {
          kid: Kid,
          alg: Alg,
          state: Type.Union([Phase], { description: 'that it had' }),
          reason: Type.String(),
          live_tokens_at_most: Type.Integer({ description: 'all refused from now on' }),
          successor: Type.Union([Kid, Type.Null()]),
          forgotten_at: Time,
          successor_unknown_until: TimeOrNull,
        },
        { title: 'RevokedKey' },
      ),
    },
  },
  async (admin, { params: { kid }, body: { reason } }) =>
    describeRevokedKey(await revokeKey(admin, kid, reason)),
)

const { rotation, maxAge, skew } = keyPolicyLimits
const seconds = ([minimum, maximum]: readonly [number, number], description: string) =>
  Type.Integer({ minimum, maximum, description })

const settings = {
  key_rotation_seconds: seconds(rotation, 'how long a key signs'),
  jwks_max_age_seconds: seconds(maxAge, 'how long verifiers may keep the key set'),
  clock_skew_seconds: seconds(skew, 'how far the clocks of verifiers may be off'),
}

const Policy = Type.Object(
  {
    ...settings,
    lead_seconds: Type.Integer({ description: 'how long a key is published before it signs' }),
    warning: Type.Union([Type.String(), Type.Null()]),
    note: Type.Union([Type.String(), Type.Null()]),
    rotations: Type.Array(Type.Object({ kid: Kid, alg: Alg, retires_at: TimeOrNull }), {
      description: 'the keys that sign now, and when they retire',
    }),
  },
  { title: 'KeyPolicy' },
)

/** What follows from a policy, and changes by itself. */
const beside = ['rotations']

const readPolicyRoute = route(
  {
    method: 'GET',
    url: '/keys/policy',
    name: 'readKeyPolicy',
    summary: 'The policy of the key set that all servers keep to',
    need: see,
    answer: { status: 200, schema: Policy },
    hasEtag: true,
    beside,
  },
  async admin => describePolicy(await readPolicy(admin)),
)

const updatePolicyRoute = route(
  {
    method: 'PATCH',
    url: '/keys/policy',
    name: 'updateKeyPolicy',
    summary: 'Change the policy of the key set; what is left out stays',
    need: change,
    query: Type.Object(
      { dry_run: Type.Optional(Type.Boolean({ description: 'only say what would follow from it' })) },
      { additionalProperties: false },
    ),
    body: Type.Object(
      {
        key_rotation_seconds: Type.Optional(settings.key_rotation_seconds),
        jwks_max_age_seconds: Type.Optional(settings.jwks_max_age_seconds),
        clock_skew_seconds: Type.Optional(settings.clock_skew_seconds),
      },
      { title: 'KeyPolicyChanges', additionalProperties: false },
    ),
    answer: { status: 200, schema: Policy },
    hasEtag: true,
    beside,
  },
  async (admin, { query: { dry_run: isDryRun = false }, body }) => {
    const planned = await planPolicy(admin, body)
    if (planned && !isDryRun) await changePolicy(admin, planned)
    return describePolicy(planned?.to ?? (await readPolicy(admin)))
  },
)

/** `/keys`: those that sign tokens. The root key is a matter of the host. */
export const keyRoutes: readonly AnyRoute[] = [
  listKeysRoute,
  rotateKeysRoute,
  readPolicyRoute,
  updatePolicyRoute,
  revokeKeyRoute,
]
