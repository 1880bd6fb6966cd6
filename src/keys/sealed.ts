import { unavailable } from '../errors.ts'
import type { KeyRing } from './ring/key-ring.ts'
import type { RootKeys, travellingKinds } from './root/root-key.ts'

/**
 * What travels through a browser or a client and comes back, so that nothing is stored for a stranger. Its
 * text:
 *
 *   prefix of its kind + base64url( version 1 ‖ root key id 4 ‖ sealed JSON )
 *
 * It is encrypted and authenticated under a key that the root key and the database give, for one kind and one
 * issuer: it is of no use as another kind, at another issuer, or at another installation. Whom else it is
 * bound to, and until when it is good, is in its content, which who opens it checks.
 */
const prefixes = {
  'pushed authorization request': 'mm_pr_',
  'authorization request': 'mm_ar_',
  'authorization code': 'mm_ac_',
  'auth session': 'mm_as_',
  'log-out request': 'mm_lo_',
  'totp set-up': 'mm_ts_',
  'password reset': 'mm_rs_',
  invitation: 'mm_in_',
  'mail verification': 'mm_mv_',
  'sign-up': 'mm_su_',
  'mailed code': 'mm_mc_',
  // As long as base64url groups: a challenge is base64url of bytes, all of it.
  'passkey challenge': 'mm_pkey_',
  draft: 'mm_dr_',
  message: 'mm_me_',
  'event cursor': 'mm_ec_',
  // Kept with the request of the device, and of no use to anybody who reads it there.
  'device approval': 'mm_da_',
  'registration token': 'mm_rg_',
} as const satisfies Readonly<Record<(typeof travellingKinds)[number], string>>

export type SealedKind = keyof typeof prefixes

const version = 1

/** Longer than any that is made here: a request holds at most a body of parameters. */
const lengthMax = 32_768

/** Seals content, which is JSON, as a text of the characters A-Z a-z 0-9 _ -. */
export function sealValue(
  rootKeys: Pick<RootKeys, 'seal'>,
  kind: SealedKind,
  issuer: string,
  content: Readonly<Record<string, unknown>>,
): string {
  const { rootKeyId, sealed } = rootKeys.seal(kind, issuer, Buffer.from(JSON.stringify(content)))
  const body = Buffer.concat([Buffer.of(version), Buffer.from(rootKeyId, 'hex'), sealed])
  return prefixes[kind] + body.toString('base64url')
}

/**
 * The content of a text that was sealed here for this kind and issuer; undefined for any other text. Does
 * NOT check its age, nor whose it is. Throws `temporarily_unavailable` (503) for one that another instance
 * may have made, while this one is behind it.
 */
export async function openValue(
  { rootKeys, keys }: { readonly rootKeys: RootKeys; readonly keys: Pick<KeyRing, 'readRootKeyId'> },
  kind: SealedKind,
  issuer: string,
  text: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const prefix = prefixes[kind]
  if (text.length > lengthMax || !text.startsWith(prefix)) return undefined
  const body = Buffer.from(text.slice(prefix.length), 'base64url')
  // Node's decoder skips what it does not know, so only a text that it would write itself counts.
  if (body.toString('base64url') !== text.slice(prefix.length) || body[0] !== version) return undefined
  const rootKeyId = body.toString('hex', 1, 5)
  if (!rootKeys.has(rootKeyId)) {
    const current = await keys.readRootKeyId()
    if (current === rootKeyId && !rootKeys.has(rootKeyId))
      throw unavailable('a sealed value names a root key that is not known here yet')
  }
  const content = rootKeys.open(kind, issuer, rootKeyId, body.subarray(5))
  return content && (JSON.parse(content.toString()) as Readonly<Record<string, unknown>>)
}
