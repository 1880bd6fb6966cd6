import type { Place } from './counts.ts'
import type { Source } from './sources.ts'

export interface CommentFigures {
  readonly lines: number
  /** Sentences with a subject that is a clause itself. */
  readonly clauses: readonly Place[]
  /** Lines with a word that plain speech has another one for. */
  readonly bookish: readonly Place[]
  readonly long: number
}

/** How plain the comments are. */
export function commentFigures(sources: readonly Source[]): CommentFigures {
  const comments = sources.flatMap(commentsOf)
  const lines = comments.flatMap(({ path, line, lines }) =>
    lines.map((text, i) => ({ path, line: line + i, text })),
  )
  return {
    lines: lines.length,
    clauses: comments.filter(({ lines }) => hasClauseSubject(lines.map(bare).join(' '))).map(placeOf),
    bookish: lines.filter(({ text }) => bookish.test(bare(text))).map(placeOf),
    // A form that is shown on a line of its own is not cut.
    long: lines.filter(({ text }) => text.length > 110 && !/^ \*   `/.test(text)).length,
  }
}

interface Comment extends Place {
  readonly lines: readonly string[]
}

const placeOf = ({ path, line }: Place): Place => ({ path, line })

/** Comments of several lines are one. */
function commentsOf({ path, text }: Source): readonly Comment[] {
  const found: { path: string; line: number; lines: string[] }[] = []
  let isOpen = false
  text.split('\n').forEach((line, i) => {
    if (!/^\s*(\/\/|\/\*|\*)|\s\/\/ /.test(line)) return void (isOpen = false)
    const isNew = /^\s*\/\*|\S.*\s\/\/ /.test(line) || !isOpen
    if (isNew) found.push({ path, line: i + 1, lines: [] })
    found.at(-1)?.lines.push(line)
    isOpen = !/\*\/\s*$|\S.*\s\/\/ /.test(line)
  })
  return found
}

/** Without the marks of the comment, and without code and other quotations. */
function bare(line: string): string {
  return line
    .replace(/^.*?(?:\/\/|\/\*\*?|^\s*\*(?!\/))/, '')
    .replace(/\*\/\s*$/, '')
    .replace(/`[^`]*`|"[^"]*"/g, 'X')
    .trim()
}

const bookish = /\b(?:nobody|whoever|lest|hence|likewise|meanwhile)\b/i

/**
 * Whether a sentence is like “What is typed here is sealed”, and not like “What is typed here”, which only
 * names a thing: the first has two verbs even without clauses that depend on others. Some are overlooked.
 */
export function hasClauseSubject(comment: string): boolean {
  return comment.split(/(?<=[.:;!?)]) +/).some(sentence => begins.test(sentence) && verbsOf(sentence) > 1)
}

/** “Whatever it is, …” depends on the rest, and is no subject. */
const begins = /^(?:what|who|whoever|whatever(?=[^,]*$))\b/i

function verbsOf(sentence: string): number {
  const [first = '', ...rest] = sentence.split(' ')
  const main = rest
    .join(' ')
    .replace(/\([^)]*\)/g, '')
    .replace(dependent, '')
  return [...`${first} ${main}`.matchAll(verbs)].length
}

const dependent =
  /(?:, ?)?\b(?:and|or|but|that|which|who|whom|whose|whoever|what|whatever|where|when|while|if|as|since|because|before|after|until|once|how|why|whether|than|so)\b[^,;:.]*|\bto [a-z]+/g

/** With the infinitive or participle that may come after them. */
const verbs =
  /\b(?:(?:can|may|must|does|did|will|would|should|shall|has|have|had|is|are|was|were)(?: not| no)?(?: \w+)?|stays?|goes|comes?|counts?|gets?|makes?|takes?|needs?|ends?|begins?|starts?|waits?|stands?|knows?|says?|tells?|gives?|looks?|leads?|wants?|follows|means?|belongs?|holds?|lives?|works?|costs?|fails?|reaches|refuses|administers)\b/g
