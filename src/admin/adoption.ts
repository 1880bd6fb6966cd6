import { countUsersByRpId } from '../../db/factors/passkeys.ts'
import { listUsedAlgs } from '../../db/keys/used-algs.ts'
import { endAllOfIssuer, type EndedSessions, type EndOptions } from '../endings/end.ts'
import { endAllOfCopy } from '../endings/restart.ts'
import { Refusal } from '../errors.ts'
import { algsWanted } from '../keys/ring/key-policy.ts'
import { hashSecret, newClientSecret } from '../protocol/secrets.ts'
import type { Admin, InstallationAdmin } from './admin.ts'
import { countPasswords, countTotps, type RootKeyCounts } from './root-key-counts.ts'

/** The issuer that the database has, and the one that it is to get. */
export interface Issuers {
  readonly from: string
  readonly to: string
}

/** The issuer of the database and that of the settings. Refuses where they are the same. */
export function issuersOf({
  config,
  installation,
}: Pick<InstallationAdmin, 'config' | 'installation'>): Issuers {
  const { issuer: from } = installation
  const { issuer: to } = config
  if (from !== to) return { from, to }
  throw new Refusal(
    'conflict',
    `the database belongs to ${to} already`,
    'set MINTMARK_ISSUER to its new issuer',
  )
}

/**
 * Gives the same installation a new name. Every session ends: tokens of the old name are of no use any more.
 */
export async function adoptMoved(
  admin: Admin,
  issuers: Issuers,
  options: EndOptions,
): Promise<EndedSessions> {
  const ended = await endAllOfIssuer(admin, issuers, options)
  if (!ended) throw changedMeanwhile()
  return ended
}

export interface AdoptedCopy extends EndedSessions {
  readonly rootKey: { readonly from: string; readonly to: string }
  /** By the ids of the clients; only hashes are stored. */
  readonly secrets: ReadonlyMap<string, string>
  /**
   * How many are checked with the original's root key, which has come along, and how many cannot be checked
   * here.
   */
  readonly passwords: { readonly kept: number; readonly lost: number }
  /** The same of the authenticator apps. */
  readonly totps: { readonly kept: number; readonly lost: number }
}

/** Users whose passkeys are for another domain than those of the new issuer: no browser gives them there. */
export interface StrandedPasskeys {
  readonly rp_id: string
  readonly users: number
}

export async function findStrandedPasskeys({
  db,
  config,
}: Pick<Admin, 'db' | 'config'>): Promise<readonly StrandedPasskeys[]> {
  return (await countUsersByRpId(db)).filter(({ rp_id }) => rp_id !== config.passkeyRpId)
}

/** Makes a copy of an installation one of its own, with a new root key, signing keys and client secrets. */
export async function adoptCopied(admin: Admin, issuers: Issuers, options: EndOptions): Promise<AdoptedCopy> {
  const { db, rootKeys, config } = admin
  const secrets = new Map<string, string>()
  const secretHashOf = (id: string) => {
    const secret = newClientSecret()
    secrets.set(id, secret)
    return hashSecret(secret)
  }
  const algs = algsWanted(await listUsedAlgs(db))
  const adopted = await endAllOfCopy(
    { by: admin, rootKeys, file: config, algs, ...issuers, secretHashOf },
    options,
  )
  if (!adopted) throw changedMeanwhile()
  const { from, to, at, ended, isDone } = adopted
  const checked = ({ current, older, lost }: RootKeyCounts) => ({ kept: current + older, lost })
  const passwords = checked(await countPasswords(admin, to))
  const totps = checked(await countTotps(admin, to))
  return { at, ended, isDone, rootKey: { from, to }, secrets, passwords, totps }
}

const changedMeanwhile = () =>
  new Refusal('conflict', 'another process has changed the issuer meanwhile', 'look again')

/** The document of a copy that was adopted. */
export function describeAdoptedCopy(
  { from, to }: Issuers,
  { rootKey, ended, passwords, totps, secrets }: AdoptedCopy,
  passkeys: readonly StrandedPasskeys[],
) {
  return {
    from,
    to,
    root_key: rootKey,
    sessions_revoked: ended,
    passwords_kept: passwords.kept,
    passwords_lost: passwords.lost,
    totps_kept: totps.kept,
    totps_lost: totps.lost,
    passkeys_unusable: passkeys,
    clients: [...secrets].map(([client_id, client_secret]) => ({ client_id, client_secret })),
  }
}
