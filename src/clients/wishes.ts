import type { OwnClaimTable } from '../../db/schema.ts'
import {
  isClaimName,
  ownClaimBytes,
  ownClaimsBytesMax,
  readSource,
  takesClaimName,
  type OwnClaim,
} from '../protocol/own-claims.ts'
import { itemsOf } from '../values/list.ts'
import { list, type Kind } from './property-kinds.ts'

/** The claims that a resource or a client may want beside those of the installation's own. */
export const knownWishes: readonly string[] = ['roles', 'groups']

/** The answer to what cannot be the name of a claim. */
export const wishSentence = `A claim is one of ${knownWishes.join(', ')}, or one of your own: ${takesClaimName}.`

const names = list(isClaimName, {
  takes: `claims: ${knownWishes.join(', ')}, or of your own`,
  sentence: wishSentence,
})

/** The claims that a client wants. */
export const clientWishes: Kind<readonly string[], string> = names

/** The claims that a resource wants; null where it has not said so. */
export const wishes: Kind<readonly string[] | null, string | null> = {
  ...names,
  fallback: null,
  schema: { type: ['array', 'null'], items: { type: 'string' } },
  fromFile: declared => (declared === null ? null : names.fromFile(declared)),
  fromOption: given => (Array.isArray(given) ? names.fromOption(given) : []),
  toColumn: value => value && value.join(' '),
  fromColumn: stored => (stored === null ? null : itemsOf(stored)),
}

/** Why nothing can want these claims, where there are these of the installation's own. */
export function* wishProblems(
  wanted: readonly string[] | null,
  own: ReadonlyMap<string, OwnClaim>,
): Generator<string> {
  const ofOwn = (wanted ?? []).filter(name => !knownWishes.includes(name))
  const unknown = ofOwn.filter(name => !own.has(name))
  if (unknown.length > 0) yield `there is no claim ${unknown.join(', ')}: \`mintmark claim create\` makes one`
  const bytes = ofOwn.reduce((sum, name) => {
    const claim = own.get(name)
    return sum + (claim ? ownClaimBytes(claim) : 0)
  }, 0)
  if (bytes > ownClaimsBytesMax)
    yield `its claims could be ${bytes} bytes in each token, and ${ownClaimsBytesMax} are the most`
}

/** The claim of a row. */
export function ownClaimOf({ name, kind, source }: OwnClaimTable): OwnClaim {
  const read = readSource(JSON.parse(source))
  if (!read) throw new Error(`the source of the claim ${name} cannot be read`)
  return { name, kind, source: read }
}
