/** A colour as `#rrggbb` in lower case: of `#rgb` and `#rrggbb`. Undefined for another text. */
export function normalColor(text: string): string | undefined {
  if (/^#[\da-f]{6}$/i.test(text)) return text.toLowerCase()
  if (!/^#[\da-f]{3}$/i.test(text)) return undefined
  return `#${[...text.slice(1).toLowerCase()].map(digit => digit + digit).join('')}`
}

/** The contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio"). */
export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].toSorted((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}

/** Black or white, whichever is read better on a colour: at least 4.5, as WCAG 2.2 §1.4.3 (AA) asks. */
export function readableOn(background: string): string {
  return contrast('#ffffff', background) >= contrast('#000000', background) ? '#ffffff' : '#000000'
}

/**
 * The colour itself, or as little darker or lighter as it takes to have a contrast to the background. Always
 * found where black or white has it.
 */
export function distinctFrom(background: string, color: string, least: number): string {
  const end = readableOn(background)
  for (let share = 0; share < 1; share += 0.04) {
    const mixed = mix(color, end, share)
    if (contrast(mixed, background) >= least) return mixed
  }
  return end
}

/** A colour with a share, from 0 to 1, of another in it. */
export function mix(color: string, other: string, share: number): string {
  const others = channelsOf(other)
  const mixed = channelsOf(color).map((value, i) => value + ((others[i] ?? 0) - value) * share)
  return `#${mixed.map(value => Math.round(value).toString(16).padStart(2, '0')).join('')}`
}

/** Relative luminance of sRGB, from 0 to 1 (WCAG 2.2). */
function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = channelsOf(color).map(value => {
    const share = value / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function channelsOf(color: string): number[] {
  return [1, 3, 5].map(start => Number.parseInt(color.slice(start, start + 2), 16))
}
