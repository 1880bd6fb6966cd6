import { readFileSync } from 'node:fs'
import { prefix } from '../config/settings.ts'
import { ConfigError } from '../errors.ts'
import { sha256 } from '../values/sha256.ts'

/** A picture that pages show. */
export interface Picture {
  readonly bytes: Buffer
  /** Its media type. */
  readonly type: string
  /** Of its bytes: another picture has another one. */
  readonly version: string
}

/** Far more than a logo needs. The first page that a person sees waits for it. */
const bytesMax = 256 * 1024

/**
 * Reads the operator's logo. Its kind is read from its bytes, whatever the file is called. Throws a
 * `ConfigError` that names the setting.
 */
export function readLogo(file: string): Picture {
  const bytes = readBytes(file)
  if (bytes.length > bytesMax) throw faultOf(file, `is larger than ${bytesMax / 1024} KiB`)
  const type = imageTypeOf(bytes)
  if (type === undefined) throw faultOf(file, 'is no PNG, JPEG, WebP or SVG image')
  return pictureOf(bytes, type)
}

/** What stands for an operator without a logo: the first letter of the name, on the operator's colour. */
export function monogram(letter: string, { color, onColor }: { color: string; onColor: string }): Picture {
  const escaped = letter.replace(/[&<>]/g, special => `&#${special.charCodeAt(0)};`)
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="16" fill="${color}"/>` +
    `<text x="32" y="33" fill="${onColor}" font-family="system-ui,sans-serif" font-size="36" font-weight="600" ` +
    `text-anchor="middle" dominant-baseline="central">${escaped}</text></svg>`
  return pictureOf(Buffer.from(svg), svgType)
}

const svgType = 'image/svg+xml'

/** The media type of an image that browsers show, by its first bytes; undefined for others. */
export function imageTypeOf(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, 8).equals(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'))) return 'image/png'
  if (bytes.subarray(0, 3).equals(Buffer.of(0xff, 0xd8, 0xff))) return 'image/jpeg'
  const isRiff = bytes.toString('latin1', 0, 4) === 'RIFF' && bytes.toString('latin1', 8, 12) === 'WEBP'
  if (isRiff) return 'image/webp'
  return isSvg(bytes) ? svgType : undefined
}

/** XML whose root is `svg`: behind a byte order mark, a declaration, comments and a document type. */
function isSvg(bytes: Buffer): boolean {
  if (bytes.includes(0)) return false
  const start = /^\ufeff?(?:\s|<\?[^>]*\?>|<!--[^]*?-->|<!DOCTYPE svg\b[^>[]*(?:\[[^\]]*\]\s*)?>)*<svg[\s>]/
  return start.test(bytes.toString('utf8', 0, 64 * 1024))
}

function pictureOf(bytes: Buffer, type: string): Picture {
  return { bytes, type, version: sha256(bytes).toString('base64url').slice(0, 12) }
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw faultOf(file, 'cannot be read', error)
  }
}

function faultOf(file: string, what: string, cause?: unknown): ConfigError {
  return new ConfigError(`${prefix}LOGO_FILE is ${JSON.stringify(file)}, which ${what}`, { cause })
}
