/** RFC 9110 §13.1.2: weak comparison, since a proxy that compresses may have weakened ours. */
export function isNamed(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch
    .split(',')
    .some(named => /^\s*(?:W\/)?(.*?)\s*$/.exec(named)?.[1] === etag || named.trim() === '*')
}
