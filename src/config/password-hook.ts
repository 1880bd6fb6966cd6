import { isFetchedUrl } from '../protocol/fetched-url.ts'
import { prefix, settings } from './settings.ts'
import { urlOf, type Problem } from './url-setting.ts'

/** Where an old system is asked about users who are unknown here. */
export interface HookAddress {
  /** Its query may be a secret. */
  readonly url: string
  /** What requests are signed with. */
  readonly key: Buffer
}

/** The address without its query, for people and logs. */
export function describeHook({ url }: Pick<HookAddress, 'url'>): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}

/**
 * The address of the password hook; undefined where none is set, or where it is wrong: faults go to
 * `problems`, which show neither the URL nor the secret.
 */
export function passwordHookOf(
  {
    url,
    secret,
    file,
  }: {
    readonly url: string | undefined
    readonly secret: string | undefined
    readonly file: string | undefined
  },
  home: string,
  problems: string[],
): HookAddress | undefined {
  const [urlName, secretName] = [settings.passwordHookUrl, settings.passwordHookSecret].map(
    ({ name }) => prefix + name,
  )
  const names = [settings.passwordHookSecret, settings.passwordHookSecretFile] as const
  const signing = urlOf(
    { text: secret, file },
    { what: 'secret', settings: names, home, parse: parseSecret },
    problems,
  )
  const hasSecret = secret !== undefined || file !== undefined
  if (url === undefined) {
    if (hasSecret) problems.push(`${secretName} counts only with ${urlName}: set that, or leave both out`)
    return undefined
  }
  if (!isFetchedUrl(url)) {
    problems.push(
      `${urlName} takes an https URL without user, password and fragment (http only for a loopback host)`,
    )
    return undefined
  }
  if (!hasSecret) problems.push(`${urlName} is set, but not what requests are signed with: set ${secretName}`)
  return signing && { url, key: signing.key }
}

/** As Standard Webhooks writes it. */
function parseSecret(text: string): { readonly key: Buffer } | Problem {
  const [, base64] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? []
  const key = Buffer.from(base64 ?? '', 'base64')
  if (key.length >= 24 && key.length <= 64) return { key }
  return {
    problem:
      'takes whsec_ and base64 of 24 to 64 random bytes: echo "whsec_$(openssl rand -base64 32)" makes one',
  }
}
