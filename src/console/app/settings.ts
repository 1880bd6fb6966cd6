/** What the server has written into the page. */
export interface Settings {
  readonly issuer: string
  /** The path before all of ours: empty, or like `/auth`. */
  readonly base: string
  readonly clientId: string
  /** The operator's. */
  readonly name: string
  /** The address of the logo. */
  readonly icon: string
}

const meta = document.querySelector<HTMLMetaElement>('meta[name=mintmark]')

// Our own server has written it.
export const settings = JSON.parse(meta?.content ?? '{}') as Settings

/** The start of the console, which is also where people come back to from a log-in. */
export const home = `${location.origin}${settings.base}/console`
