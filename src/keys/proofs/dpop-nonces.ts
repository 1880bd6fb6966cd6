import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../clock.ts'
import { hmacSha256 } from '../../values/sha256.ts'
import type { RootKeys } from '../root/root-key.ts'

/** A nonce is given out for so many seconds, and taken for as long again. */
const nonceSeconds = 300

const idBytes = 4
const stepBytes = 4
const macBytes = 16

/**
 * The nonces of RFC 9449 §8. One is a number of a span of time and a MAC of it under a key that all instances
 * derive from the root key: no outsider can know the next one, every instance knows it, and nothing is
 * stored.
 */
export interface DpopNonces {
  /** The one to use now. */
  current(): string
  /** Whether it was given out in this span or the one before it. Instances need not have the same second. */
  isGood(nonce: string): boolean
}

export function dpopNonces(rootKeys: Pick<RootKeys, 'currentId' | 'derive'>, clock: Clock): DpopNonces {
  const step = () => Math.floor(clock.now() / nonceSeconds)
  const nonceOf = (rootKeyId: string, step: number): Buffer | undefined => {
    const key = rootKeys.derive('dpop-nonce', rootKeyId)
    if (!key) return undefined
    const head = Buffer.alloc(idBytes + stepBytes)
    head.write(rootKeyId, 'hex')
    head.writeUInt32BE(step, idBytes)
    return Buffer.concat([head, hmacSha256(key, head).subarray(0, macBytes)])
  }
  return {
    current: () => {
      const nonce = nonceOf(rootKeys.currentId, step())
      if (!nonce) throw new Error('unreachable: the current root key is there')
      return nonce.toString('base64url')
    },
    isGood: text => {
      const nonce = Buffer.from(text, 'base64url')
      if (nonce.length !== idBytes + stepBytes + macBytes) return false
      const age = step() - nonce.readUInt32BE(idBytes)
      if (age < -1 || age > 1) return false
      const right = nonceOf(nonce.toString('hex', 0, idBytes), nonce.readUInt32BE(idBytes))
      return right !== undefined && timingSafeEqual(nonce, right)
    },
  }
}
