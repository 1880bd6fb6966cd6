/** The candidate that a mistyped name was probably meant to be; undefined when none is near. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let least = Infinity
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate)
    // When more letters are wrong, it is another word.
    const isNear = distance <= 0.4 * Math.max(name.length, candidate.length)
    if (isNear && distance < least) [nearest, least] = [candidate, distance]
  }
  return nearest
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution))
    }
    row = next
  }
  return row[b.length] ?? 0
}
