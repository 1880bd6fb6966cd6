import fc from 'fast-check'

/** Whatever may stand behind the authority of a URL (RFC 3986 §3.3, §3.4). */
const part = fc.constantFrom(..."abz019-._~!$&'()*+,;=:@/?", '%20', '%2F', '%C3%BC', '%F0%9F%98%80')

/** Like `fc.webUrl()`, which looks at all of Unicode before its first one, for seconds. */
export const webUrl = fc
  .tuple(fc.constantFrom('http', 'https'), fc.webAuthority({ withPort: true }), fc.string({ unit: part }))
  .map(([scheme, authority, rest]) => `${scheme}://${authority}/${rest}`)
