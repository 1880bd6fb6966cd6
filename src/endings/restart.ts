import { beginAnew, beginAsCopy, type Begun } from '../../db/keys/root-keys.ts'
import type { SigningKeyTable } from '../../db/schema.ts'
import { prepareRestart, type RestartOptions } from '../keys/ring/emergency.ts'
import { rootKeysOf } from '../keys/root/root-rotation.ts'
import { record } from '../record/record.ts'
import { finish, type EndedSessions, type EndOptions } from './end.ts'

export interface Restart extends Begun, EndedSessions {
  readonly revoked: readonly SigningKeyTable[]
  /** At the most so many tokens live that are refused from now on. */
  readonly tokens: number
  readonly keys: readonly SigningKeyTable[]
}

/**
 * After the loss of the host, a backup or the root key: a new root key, new signing keys that sign at once,
 * and the end of all sessions.
 */
export async function endAllWithKeys(options: RestartOptions, endOptions?: EndOptions): Promise<Restart> {
  const { by, reason } = options
  const { revoked, tokens, begin } = await prepareRestart(options)
  const kids = revoked.map(({ kid }) => kid)
  const { begun, keys } = await begin(beginning =>
    record(
      by,
      (begun: Begun) => [
        {
          event: 'all_keys_revoked',
          ended: { clients: begun.clients, reason, at: begun.ending.ended_at },
          detail: { kids, reason, ...rootKeysOf(begun) },
        },
      ],
      writer => beginAnew(writer, beginning),
    ),
  )
  return { ...begun, revoked, tokens, keys, ...(await finish(by, begun.ending, endOptions)) }
}

export interface CopyOptions extends Omit<RestartOptions, 'keepsRootKey' | 'reason'> {
  /** The issuer of the original, and that of the copy. */
  readonly from: string
  readonly to: string
  readonly secretHashOf: (clientId: string) => Buffer
}

/**
 * Makes a copy of an installation one of its own, as after a loss, and besides with another issuer and other
 * client secrets: nothing of the original is worth anything for the copy, and the other way round. Undefined
 * when its issuer is no longer `from`.
 */
export async function endAllOfCopy(
  options: CopyOptions,
  endOptions?: EndOptions,
): Promise<(Begun & EndedSessions) | undefined> {
  const { by, from, to, secretHashOf } = options
  const { begin } = await prepareRestart({ ...options, reason: 'copied', keepsRootKey: false })
  const { begun } = await begin(beginning =>
    record(
      by,
      (begun: Begun) => [
        { event: 'issuer_changed', detail: { from, to, copied: true, ...rootKeysOf(begun) } },
      ],
      writer => beginAsCopy(writer, { ...beginning, from, to, secretHashOf }),
    ),
  )
  return begun === false ? undefined : { ...begun, ...(await finish(by, begun.ending, endOptions)) }
}
