import { createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The checksum of a refresh token, in other words than the server's: digit for digit. */
export function checksumOf(text: string): string {
  const rest = crc32(text)
  return [5, 4, 3, 2, 1, 0].map(digit => base62[Math.floor(rest / 62 ** digit) % 62]).join('')
}

/** A refresh token's text with the right checksum, whatever is in it. */
export function written(content: Buffer | string): string {
  const text = `mm_rt_${typeof content === 'string' ? content : content.toString('base64url')}`
  return text + checksumOf(text)
}

/** The bytes of a refresh token, with its MAC. */
export function bytesOf(token: string): Buffer {
  return Buffer.from(token.slice('mm_rt_'.length, -6), 'base64url')
}

/** A refresh token's text as only somebody with the server's root key can make it. */
export function sealed(macKey: Buffer, content: Buffer): string {
  const mac = createHmac('sha256', macKey).update(content).digest().subarray(0, 16)
  return written(Buffer.concat([content, mac]))
}
