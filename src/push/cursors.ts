import type { EventPosition } from '../../db/push/events.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { openValue, sealValue } from '../keys/sealed.ts'

/**
 * Where a listener has come to, as a text that it sends back. Sealed: numbers would tell it how much happens
 * that is none of its business.
 */
export interface Cursors {
  write(position: EventPosition): string
  /** Undefined for any other text. */
  read(text: string): Promise<EventPosition | undefined>
}

export function openCursors(
  on: { readonly rootKeys: RootKeys; readonly keys: Pick<KeyRing, 'readRootKeyId'> },
  issuer: string,
): Cursors {
  return {
    write: ({ seq, id }) => sealValue(on.rootKeys, 'event cursor', issuer, { seq, id: id.toString('hex') }),
    read: async text => {
      const { seq, id } = (await openValue(on, 'event cursor', issuer, text)) ?? {}
      return typeof seq === 'number' ? { seq, id: Buffer.from(String(id), 'hex') } : undefined
    },
  }
}
