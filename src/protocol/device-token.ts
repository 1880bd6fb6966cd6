import { hash, randomBytes } from 'node:crypto'

/**
 * The device token's text:
 *
 *   `mm_dt_` + base64url( version 1 ‖ root key id 4 ‖ sealed( user 16 ‖ device 16 ‖ issued at 4 ) )
 *
 * A log-in hands it out, and a later log-in from the same device shows it: wrong guesses with it are counted apart, so
 * that nobody who guesses elsewhere locks the owner out (OWASP's device cookie). It opens nothing, and is of no use to any
 * other client.
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

export interface DeviceTokenOwner {
  readonly username: string
  readonly clientId: string
  readonly now: number
}

/** A token of a new device. */
export function sealDeviceToken(sealer: Sealer, { username, clientId, now }: DeviceTokenOwner): string {
  const content = Buffer.concat([userOf(username), randomBytes(16), Buffer.alloc(4)])
  content.writeUInt32BE(now, 32)
  const { rootKeyId, sealed } = sealer.seal(purpose, clientId, content)
  const body = Buffer.concat([Buffer.of(version), Buffer.from(rootKeyId, 'hex'), sealed])
  return deviceTokenPrefix + body.toString('base64url')
}

/** What tells the device apart; undefined for what is no token of this user and client, or is too old. */
export function openDeviceToken(sealer: Sealer, text: string, owner: DeviceTokenOwner): string | undefined {
  if (text.length !== tokenLength || !text.startsWith(deviceTokenPrefix)) return undefined
  const body = Buffer.from(text.slice(deviceTokenPrefix.length), 'base64url')
  if (body.length !== 5 + sealedBytes || body[0] !== version) return undefined
  const content = sealer.open(purpose, owner.clientId, body.toString('hex', 1, 5), body.subarray(5))
  if (!content || !content.subarray(0, 16).equals(userOf(owner.username))) return undefined
  if (content.readUInt32BE(32) + deviceTokenSeconds <= owner.now) return undefined
  return content.toString('base64url', 16, 32)
}

function userOf(username: string): Buffer {
  return hash('sha256', username, 'buffer').subarray(0, 16)
}
