import type { Beginning } from '../../../db/keys/root-keys.ts'
import { listSigningKeys, revokeSigningKey } from '../../../db/keys/signing-keys.ts'
import { countPromised } from '../../../db/keys/token-promises.ts'
import type { SigningKeyTable } from '../../../db/schema.ts'
import type { KeyPhase } from '../../protocol/key-phase.ts'
import { record, type Recorder } from '../../record/record.ts'
import type { RootKeyFile } from '../root/root-key-file.ts'
import type { RootKeys } from '../root/root-key.ts'
import { replacementRootKey, withNewRootKey } from '../root/root-rotation.ts'
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

export interface RestartOptions extends EmergencyOptions {
  readonly file: RootKeyFile
  /** Makes a new root key and returns its id; without it, one is put into the file. */
  readonly addRootKey?: () => string
  /** Whether the root key is known to be safe. */
  readonly keepsRootKey: boolean
  /** The algorithms that keys are wanted for. */
  readonly algs: readonly string[]
}

/** A new root key, and new signing keys in place of all others, as far as no transaction is needed. */
export interface PreparedRestart {
  readonly revoked: readonly SigningKeyTable[]
  /** At the most so many of the tokens of those keys live. */
  readonly tokens: number
  /** Runs the transaction that begins anew. `keys` are those from then on. */
  begin<T>(
    change: (beginning: Beginning) => Promise<T>,
  ): Promise<{ readonly begun: T; readonly keys: readonly SigningKeyTable[] }>
}

/**
 * The slow work before an installation begins anew: to read the keys, and to make new ones. The root key that
 * the database is under need not be there. Older root keys stay in the file, for passwords cannot be checked
 * without them.
 */
export async function prepareRestart(options: RestartOptions): Promise<PreparedRestart> {
  const { by, rootKeys, reason, file, addRootKey, keepsRootKey, algs } = options
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
  return {
    revoked,
    tokens: revoked.reduce((sum, { kid }) => sum + (promised.get(kid) ?? 0), 0),
    begin: async change => {
      const changeWith = (add: () => string) => change(beginning(add))
      const begun = addRootKey ? await changeWith(addRootKey) : await withNewRootKey({ db, file }, changeWith)
      return { begun, keys }
    },
  }
}
