/** The server that `mintmark dev` runs, with its demo client and user. */
export interface DevServer {
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
  readonly username: string
  readonly password: string
}

type Answer = Readonly<Record<string, unknown>>

/** The retry window that the server is given, in seconds. */
export const retrySeconds = 1

/** One kind of request. It fails when the answer is not the one of its kind. */
export interface Kind {
  readonly name: string
  /** Whether a ready request waits out the retry window before it is sent. */
  readonly isLate?: boolean
  /** Brings about what one request needs, and returns it, to be sent once. */
  ready(): Promise<() => Promise<void>>
}

/** The requests that are measured. */
export function kindsOf({ url, clientId, clientSecret, username, password }: DevServer): readonly Kind[] {
  const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  const post = async (path: string, form: Record<string, string>): Promise<Answer> => {
    const body = new URLSearchParams(form)
    const response = await fetch(`${url}${path}`, { method: 'POST', body, headers: { authorization } })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text}`)
    return JSON.parse(text) as Answer
  }
  const logIn = () => post('/token', { grant_type: 'password', username, password })
  const refresh = (from: Answer) =>
    post('/token', { grant_type: 'refresh_token', refresh_token: String(from['refresh_token']) })
  const expect = async (answer: Promise<Answer>, isGood: (answer: Answer) => boolean) => {
    if (!isGood(await answer))
      throw new Error(`an answer is another than expected: ${JSON.stringify(await answer)}`)
  }
  const hasTokens = (answer: Answer) => 'access_token' in answer && 'refresh_token' in answer

  const retry = async () => {
    const session = await logIn()
    const { refresh_token } = await refresh(session)
    return () => expect(refresh(session), again => again['refresh_token'] === refresh_token)
  }
  return [
    {
      name: 'refresh',
      ready: async () => {
        const session = await logIn()
        return () => expect(refresh(session), hasTokens)
      },
    },
    { name: 'retry within the window', ready: retry },
    { name: 'late retry', ready: retry, isLate: true },
    { name: 'password grant', ready: async () => () => expect(logIn(), hasTokens) },
    {
      name: 'revoke',
      ready: async () => {
        const token = String((await logIn())['refresh_token'])
        return () => expect(post('/revoke', { token }), () => true)
      },
    },
    {
      name: 'introspect',
      ready: async () => {
        const token = String((await logIn())['access_token'])
        return () => expect(post('/introspect', { token }), ({ active }) => active === true)
      },
    },
  ]
}
