/** The greatest length of a resource's URI, in characters. */
export const resourceUriMax = 1024

/** `absolute-URI` of RFC 3986 §4.3, which has no fragment. */
const absoluteUri = /^[a-z][a-z0-9+.-]*:(?:[\w.~:/?[\]@!$&'()*+,;=-]|%[0-9a-f]{2})+$/i

/**
 * Whether a text can name a resource: an absolute URI without a fragment (RFC 8707 §2). Its comparison is
 * that of characters, but for `meantResource`.
 */
export function isResourceUri(text: string): boolean {
  if (text.length > resourceUriMax || !absoluteUri.test(text)) return false
  // A URI that claims to be a web address must be one, with a host.
  return !/^https?:/i.test(text) || (/^https?:\/\/[^/?]/i.test(text) && URL.canParse(text))
}

/** What names one, for a sentence that refuses another text. */
export const takesResourceUri = 'an absolute URI without a fragment (RFC 8707)'

/** The answer to another text. */
export const resourceSentence =
  'A resource is an absolute URI without a fragment, like https://api.example (RFC 8707).'

const rootUrl = /^https?:\/\/[^/?]+\/?$/

/**
 * The one of these resources that a request means by a name. `https://api.example` and `https://api.example/`
 * are one address (RFC 3986 §6.2.3), and some libraries write each URL with the slash. The name itself where
 * there is none.
 */
export function meantResource(
  named: string | undefined,
  resources: readonly { readonly uri: string }[],
): string | undefined {
  if (named === undefined || !rootUrl.test(named)) return named
  const other = named.endsWith('/') ? named.slice(0, -1) : `${named}/`
  const isKnown = (name: string) => resources.some(({ uri }) => uri === name)
  return !isKnown(named) && isKnown(other) ? other : named
}
