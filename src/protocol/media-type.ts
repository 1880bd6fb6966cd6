/**
 * Whether the `typ` of a JWT is a media type (RFC 7515 §4.1.9): with or without the `application/` in front,
 * in any case. `name` is the one that is meant, in lower case and without that.
 */
export function isType(typ: unknown, name: string): boolean {
  return typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === name
}
