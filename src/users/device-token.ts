import { hash, randomBytes } from 'node:crypto'

/**
 * The device token's text:
 *
 *   `mm_dt_` + base64url( version 1 ‖ root key id 4 ‖ sealed( owner 16 ‖ device 16 ‖ issued at 4 ) )
 *
 * A log-in hands it out, and a later log-in from the same device shows it: wrong guesses with it are counted
 * apart, so that guesses from elsewhere do not lock the owner out (OWASP's device cookie). It opens nothing,
 * and is of no use at any other place: each client is one, and our own pages are. Nor is it of use after the
 * password was changed: a thief of the old one has tokens too.
 */
export const deviceTokenPrefix = 'mm_dt_'
const version = 1
const purpose = 'device-token'
const sealedBytes = 12 + 36 + 16
const tokenLength = deviceTokenPrefix.length + 92

/** A device that is not logged in from for so long is forgotten, in seconds. */
export const deviceTokenSeconds = 400 * 86_400

/** Encrypts and authenticates for one purpose and name, under the current root key. */
export interface Sealer {
  seal(
    purpose: string,
    name: string,
    plaintext: Buffer,
  ): { readonly rootKeyId: string; readonly sealed: Buffer }
  open(purpose: string, name: string, rootKeyId: string, sealed: Buffer): Buffer | undefined
}

/**
 * Whom a token belongs to: one who gets a new password, or all of whose sessions are ended, is another from
 * then on.
 */
export interface DeviceOwner {
  readonly id: Buffer
  readonly epoch: number
}

export interface DeviceToken {
  /** Tells the device apart. */
  readonly device: string
  readonly owner: Buffer
}

/** A token of a new device. */
export function sealDeviceToken(
  sealer: Sealer,
  owner: DeviceOwner,
  { place, now }: { readonly place: string; readonly now: number },
): string {
  const content = Buffer.concat([hashOf(owner), randomBytes(16), Buffer.alloc(4)])
  content.writeUInt32BE(now, 32)
  const { rootKeyId, sealed } = sealer.seal(purpose, place, content)
  const body = Buffer.concat([Buffer.of(version), Buffer.from(rootKeyId, 'hex'), sealed])
  return deviceTokenPrefix + body.toString('base64url')
}

/** Undefined for what is no token of this place, or is too old. Does not look at whose it is. */
export function openDeviceToken(
  sealer: Sealer,
  text: string,
  { place, now }: { readonly place: string; readonly now: number },
): DeviceToken | undefined {
  if (text.length !== tokenLength || !text.startsWith(deviceTokenPrefix)) return undefined
  const body = Buffer.from(text.slice(deviceTokenPrefix.length), 'base64url')
  if (body.length !== 5 + sealedBytes || body[0] !== version) return undefined
  const content = sealer.open(purpose, place, body.toString('hex', 1, 5), body.subarray(5))
  if (!content || content.readUInt32BE(32) + deviceTokenSeconds <= now) return undefined
  return { device: content.toString('base64url', 16, 32), owner: content.subarray(0, 16) }
}

export function isOwner(user: DeviceOwner, { owner }: DeviceToken): boolean {
  return owner.equals(hashOf(user))
}

function hashOf({ id, epoch }: DeviceOwner): Buffer {
  return hash('sha256', Buffer.concat([id, Buffer.from(String(epoch))]), 'buffer').subarray(0, 16)
}
