import fc from 'fast-check'

const surrogates = 0xd800
const surrogateCount = 0x800

/**
 * Any character of Unicode: a unit of `fc.string` like its own `binary`, which lists the million of them
 * before it makes the first text, for a second.
 */
export const anyCharacter = fc.nat({ max: 0x10ffff - surrogateCount }).map(
  index => String.fromCodePoint(index < surrogates ? index : index + surrogateCount),
  // So that fast-check mixes in what is dangerous to JavaScript, as `__proto__`.
  text => {
    const code = typeof text === 'string' && text.isWellFormed() ? text.codePointAt(0) : undefined
    if (code === undefined || String.fromCodePoint(code) !== text) throw new Error('no character')
    return code < surrogates ? code : code - surrogateCount
  },
)
