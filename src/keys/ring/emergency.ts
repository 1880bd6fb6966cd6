import { beginAnew, beginAsCopy, type Beginning, type Begun } from '../../../db/keys/root-keys.ts'
import { listSigningKeys, revokeSigningKey } from '../../../db/keys/signing-keys.ts'
import { countPromised } from '../../../db/keys/token-promises.ts'
import type { SigningKeyTable } from '../../../db/schema.ts'
import type { KeyPhase } from '../../protocol/key-phase.ts'
import type { Event } from '../../record/events.ts'
import { record, type Recorder } from '../../record/record.ts'
import type { RootKeyFile } from '../root/root-key-file.ts'
import type { RootKeys } from '../root/root-key.ts'
import { replacementRootKey, rootKeysOf, withNewRootKey } from '../root/root-rotation.ts'
import { firstRows, makeFirstKeys } from './first-keys.ts'
import { phaseOf } from './key-life.ts'
import { makeKey, newKey, openKey, rowOf } from './signing-key.ts'

export interface EmergencyOptions {
  readonly by: Recorder
  readonly rootKeys: RootKeys
  /** As it was typed: for the list of keys, the log and the audit trail. */
  readonly reason: string
}

export interface KeyRevocation {
  readonly kid: string
  readonly alg: string
  /** The phase of the key when it was revoked. */
  readonly phase: KeyPhase
  /** At the most so many of its tokens live. */
  readonly tokens: number
  /** The key that signs in its place from now on, if it did. */
  readonly successor: SigningKeyTable | undefined
}

/**
 * Revokes one key: it leaves the key set at once, and where it signed, the next one does from now on, though
 * some verifier may not know that yet. Undefined when there is no such key, or it was revoked before.
 * Sessions live on.
 */
export async function revokeKey(options: EmergencyOptions, kid: string): Promise<KeyRevocation | undefined> {
  const { by, rootKeys, reason } = options
  const { db, clock } = by
  for (let attempt = 0; attempt < 5; attempt++) {
    const rows = await listSigningKeys(db)
    const row = rows.find(other => other.kid === kid)
    if (!row || phaseOf(row) === 'revoked') return undefined
    const phase = phaseOf(row)
    const next = rows.find(other => other.alg === row.alg && phaseOf(other) === 'next')
    if (phase === 'active' && next && openKey(next, rootKeys).kind !== 'open') {
      // It could not sign, and has the place of one that can.
      await revokeKey({ ...options, reason: 'it does not open' }, next.kid)
      continue
    }
    const promoted = phase === 'active' ? next : undefined
    const published = phase === 'retiring' ? [] : [await newKey(row.alg, rootKeys, clock)]
    const successor =
      phase === 'active' && !next
        ? rowOf(await makeKey(row.alg), rootKeys, { now: clock.now(), isActive: true })
        : promoted
    const revocation = {
      now: clock.now(),
      reason,
      promoted: promoted?.kid,
      published: successor && !promoted ? [successor, ...published] : published,
    }
    const event = {
      event: 'key_revoked',
      at: revocation.now,
      detail: { kid, alg: row.alg, state: phase, reason },
    } as const
    if (!(await record(by, event, writer => revokeSigningKey(writer, row, revocation)))) continue
    const tokens = (await countPromised(db, clock.now())).get(kid) ?? 0
    return { kid, alg: row.alg, phase, tokens, successor }
  }
  throw new Error(`the key ring moved each time when ${kid} was to be revoked`)
}

export interface Restart extends Begun {
  readonly revoked: readonly SigningKeyTable[]
  /** At the most so many tokens live that are refused from now on. */
  readonly tokens: number
  readonly keys: readonly SigningKeyTable[]
}

export interface RestartOptions extends EmergencyOptions {
  readonly file: RootKeyFile
  /** Makes a new root key and returns its id; without it, one is put into the file. */
  readonly addRootKey?: () => string
  /** Whether the root key is known to be safe. */
  readonly keepsRootKey: boolean
  /** The algorithms that keys are wanted for. */
  readonly algs: readonly string[]
}

/**
 * After the loss of the host, a backup or the root key: a new root key, new signing keys that sign at once,
 * and the end of all sessions. The root key that the database is under need not be there. Older root keys
 * stay in the file, for passwords cannot be checked without them.
 */
export async function revokeAll(options: RestartOptions): Promise<Restart> {
  const { by, reason } = options
  const { revoked, tokens, keysOf, beginning } = await prepareRestart(options)
  const kids = revoked.map(({ kid }) => kid)
  const eventFor = (begun: Begun): Event => ({
    event: 'all_keys_revoked',
    ended: { clients: begun.clients, reason, at: begun.ending.ended_at },
    detail: { kids, reason, ...rootKeysOf(begun) },
  })
  const begun = await addingTo(options, add =>
    record(
      by,
      (begun: Begun) => [eventFor(begun)],
      writer => beginAnew(writer, beginning(add)),
    ),
  )
  return { ...begun, revoked, tokens, keys: keysOf() }
}

export interface CopyOptions extends Omit<RestartOptions, 'keepsRootKey'> {
  /** The issuer of the original, and that of the copy. */
  readonly from: string
  readonly to: string
  readonly secretHashOf: (clientId: string) => Buffer
}

/**
 * Makes a copy of an installation one of its own, as `revokeAll` would after a loss, and besides with another
 * issuer and other client secrets: nothing of the original is worth anything for the copy, and the other way
 * round. False when its issuer is no longer `from`.
 */
export async function adoptCopy(options: CopyOptions): Promise<Begun | false> {
  const { by, from, to, secretHashOf } = options
  const { beginning } = await prepareRestart({ ...options, keepsRootKey: false })
  return addingTo(options, add =>
    record(
      by,
      (begun: Begun) => [
        { event: 'issuer_changed', detail: { from, to, copied: true, ...rootKeysOf(begun) } },
      ],
      writer => beginAsCopy(writer, { ...beginning(add), from, to, secretHashOf }),
    ),
  )
}

function addingTo<T>(
  { by, file, addRootKey }: Omit<RestartOptions, 'keepsRootKey'>,
  change: (add: () => string) => Promise<T>,
): Promise<T> {
  return addRootKey ? change(addRootKey) : withNewRootKey({ db: by.db, file }, change)
}

/** Slow work comes before the transaction: to read the keys, and to make new ones. */
async function prepareRestart({ by, rootKeys, reason, file, keepsRootKey, algs }: RestartOptions) {
  const { db, clock } = by
  const revoked = (await listSigningKeys(db)).filter(row => phaseOf(row) !== 'revoked')
  const promised = await countPromised(db, clock.now())
  const made = await makeFirstKeys(algs)
  let keys: readonly SigningKeyTable[] = []
  const beginning = (add: () => string): Beginning => ({
    now: clock.now(),
    reason,
    choose: (currentId, past) => {
      const id = keepsRootKey ? currentId : replacementRootKey(file, add)(currentId, past)
      rootKeys.follow(id)
      return id
    },
    publish: () => (keys = firstRows(made, rootKeys, clock.now())),
  })
  const tokens = revoked.reduce((sum, { kid }) => sum + (promised.get(kid) ?? 0), 0)
  return { revoked, tokens, beginning, keysOf: () => keys }
}
