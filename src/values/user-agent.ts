/** What a browser calls itself, in so far as people know it. */
export interface UserAgent {
  /** Like `Firefox`; undefined for one that is not known. */
  readonly browser: string | undefined
  /** Like `Windows`. */
  readonly system: string | undefined
}

/** Others pretend to be those that are below them. */
const browsers: readonly (readonly [name: string, sign: RegExp])[] = [
  ['Edge', /\bEdg(?:e|A|iOS)?\//],
  ['Opera', /\b(?:OPR|Opera|OPT)\//],
  ['Samsung Internet', /\bSamsungBrowser\//],
  ['Vivaldi', /\bVivaldi\//],
  ['Firefox', /\b(?:Firefox|FxiOS)\//],
  ['Chrome', /\b(?:Chrome|Chromium|HeadlessChrome|CriOS)\//],
  ['Safari', /\bVersion\/\S+ (?:Mobile\/\S+ )?Safari\//],
]

const systems: readonly (readonly [name: string, sign: RegExp])[] = [
  ['Windows', /\bWindows\b/],
  ['iPhone', /\biPhone\b/],
  ['iPad', /\biPad\b/],
  ['Android', /\bAndroid\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['macOS', /\bMac(?:intosh| OS X)\b/],
  ['Linux', /\bLinux\b/],
]

/** Reads the header User-Agent (RFC 9110 §10.1.5), which says whatever its sender likes. */
export function readUserAgent(text: string): UserAgent {
  const first = (known: typeof browsers) => known.find(([, sign]) => sign.test(text))?.[0]
  return { browser: first(browsers), system: first(systems) }
}
