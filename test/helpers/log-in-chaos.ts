import { randomInt } from 'node:crypto'
import fc from 'fast-check'
import type { Test } from 'tap'
import { changePassword } from '../../db/users/users.ts'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Browser, type Page } from './browser.ts'
import { claimsOf } from './codes.ts'
import { relyingParty, type Begun, type RelyingParty } from './relying-party.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from './server.ts'

/** What somebody does with a browser, or what happens beside it. */
type Move =
  | { readonly do: 'begin'; readonly party: number; readonly prompt: string; readonly isNewTab: boolean }
  | {
      readonly do:
        'change tabs' | 'back' | 'forward' | 'reload' | 'restart' | 'clear cookies' | 'close' | 'begin twice'
    }
  | { readonly do: 'sleep'; readonly seconds: number }
  | {
      readonly do: 'log in'
      readonly user: number
      readonly how: 'right' | 'wrong' | 'twice' | 'empty' | 'guess'
    }
  | { readonly do: 'press'; readonly button: number; readonly times: number }
  | { readonly do: 'follow'; readonly link: number }
  | { readonly do: 'log out'; readonly isFromClient: boolean }
  | { readonly do: 'change password'; readonly user: number }

const user = fc.nat(1)
const seconds = fc.constantFrom(5, 61, 91, 1801, 43_201, 30 * 86_400 + 1)
const prompt = fc.constantFrom('', '', 'login', 'select_account', 'consent', 'none')

/** Walks of any moves, in which most are those of somebody who wants to log in. */
const anyWalk: fc.Arbitrary<readonly Move[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant('begin'), party: fc.nat(3), prompt, isNewTab: fc.boolean() }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('log in'),
        user,
        how: fc.constantFrom('right', 'right', 'right', 'twice', 'wrong', 'empty', 'guess'),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('press'),
        button: fc.nat(1),
        times: fc.integer({ min: 1, max: 2 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('follow'), link: fc.nat(2) }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constantFrom('change tabs', 'back', 'back', 'forward', 'reload') }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('sleep'), seconds }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom('restart', 'clear cookies', 'close', 'begin twice') }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('log out'), isFromClient: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('change password'), user }) },
  ) as fc.Arbitrary<Move>,
  { minLength: 8, maxLength: 24, size: 'max' },
)

/** A page in the history of a tab, and the log-in that it belongs to. */
interface Entry {
  readonly page: Page
  /** Loads it once more, as it was loaded. */
  readonly load: () => Promise<Page>
  readonly party: RelyingParty
  readonly begun: Begun
}

interface Tab {
  readonly history: Entry[]
  at: number
}

/** A server that is restarted now and then, its clients, and who walks through their log-ins. */
interface Chaos {
  /** Walks in a browser and with users of its own. Throws where somebody is led astray, or is stuck. */
  walk(moves: readonly Move[]): Promise<void>
  /** How often each page was shown, by its heading, and each answer brought to a client. */
  readonly seen: ReadonlyMap<string, number>
}

/** Starts a server; `t` is the test with which it ends. */
async function startChaos(
  t: Parameters<typeof startServer>[0],
  env: Record<string, string> = {},
): Promise<Chaos> {
  let current = await startServer(t, env)
  const server: TestServer = {
    ...current,
    request: options => current.request(options),
    post: (path, form, headers) => current.post(path, form, headers),
  }
  const parties = [
    await relyingParty(server, 'web'),
    await relyingParty(server, 'shop', { consent: 'once', operator: 'Shop Ltd' }),
    await relyingParty(server, 'bank', { consent: 'always' }),
    await relyingParty(server, 'bare', { client_uri: null }),
  ]
  let walks = 0
  const seen = new Map<string, number>()
  return {
    seen,
    walk: async moves => {
      walks++
      const users = [await current.user(`ada-${walks}`), await current.user(`bob-${walks}`)]
      const walker = startWalk({
        server,
        parties,
        people: users,
        see: what => seen.set(what, (seen.get(what) ?? 0) + 1),
      })
      for (const [place, move] of moves.entries()) {
        try {
          if (move.do === 'sleep') current.tick(move.seconds)
          else if (move.do === 'restart')
            current = await startServer(t, { ...env, ...besideEnv(current) }, current.ctx.clock.now())
          else if (move.do === 'change password') await walker.changePassword(current, move.user)
          else await walker.make(move)
          await current.follow()
        } catch (error) {
          throw new Error(`at move ${place}, ${JSON.stringify(move)}: ${String(error)}`, { cause: error })
        }
      }
      await walker.logInAfresh(seconds => current.tick(seconds))
    },
  }
}

interface Walk {
  make(move: Exclude<Move, { do: 'sleep' | 'restart' | 'change password' }>): Promise<void>
  changePassword(server: TestServer, user: number): Promise<void>
  /** In the same browser, whatever has happened in it. */
  logInAfresh(tick: (seconds: number) => void): Promise<void>
}

interface Surroundings {
  readonly server: TestServer
  readonly parties: readonly RelyingParty[]
  readonly people: readonly TestUser[]
  readonly see: (what: string) => void
}

function startWalk({ server, parties, people, see }: Surroundings): Walk {
  const { issuer } = server.ctx.config
  const browser: Browser = openBrowser(server)
  const users = people.map(person => ({ ...person }))
  const tabs: Tab[] = []
  let tab: Tab | undefined

  const entryOf = (): Entry | undefined => tab?.history[tab.at]
  const show = async (entry: Omit<Entry, 'page'>, page: Page): Promise<void> => {
    if (!tab) throw new Error('unreachable: a page is in a tab')
    const isPosted = !page.isElsewhere && page.response.raw.req.method === 'POST'
    const load = isPosted ? entry.load : () => browser.open(page.url.href)
    tab.history.splice(tab.at + 1, Infinity, { ...entry, load, page })
    tab.at = tab.history.length - 1
    await arrive(entry, page)
  }
  const goTo = async (load: () => Promise<Page>, from: Pick<Entry, 'party' | 'begun'>): Promise<void> =>
    show({ ...from, load }, await load())
  /** Shows what is in the history, as a browser does that keeps nothing: it is asked for again. */
  const moveTo = async (at: number): Promise<void> => {
    const entry = tab?.history[at]
    if (!tab || !entry) return
    tab.at = at
    // The client's own page is none of ours.
    if (entry.page.isElsewhere) return
    const page = await entry.load()
    tab.history[at] = { ...entry, page }
    await arrive(entry, page)
  }
  const sentTwice = async (send: () => Promise<Page>, times: number): Promise<Page> => {
    const pages = await Promise.all(Array.from({ length: times }, send))
    for (const page of pages) isSound(page)
    const last = pages.at(-1)
    if (!last) throw new Error('unreachable: it is sent at least once')
    return last
  }

  const makers: { readonly [Kind in Move['do']]?: (move: never) => Promise<void> } = {
    begin: async ({ party: i, prompt, isNewTab }: Extract<Move, { do: 'begin' }>) => {
      const party = parties[i]
      if (!party) return
      if (!tab || isNewTab) tabs.push((tab = { history: [], at: -1 }))
      const begun = party.begin({
        scope: 'openid profile read',
        ...(prompt !== '' && { prompt }),
        ...(i === 2 && { response_mode: 'form_post' }),
      })
      await goTo(() => browser.open(begun.url, { from: party.homeUri.slice(0, -1) }), { party, begun })
    },
    'begin twice': async () => {
      const both = parties.slice(0, 2).map(party => ({ party, begun: party.begin() }))
      const first = await Promise.all(both.map(({ begun }) => browser.open(begun.url, { staysPut: true })))
      for (const [i, one] of both.entries()) {
        tabs.push((tab = { history: [], at: -1 }))
        const { location } = first[i]?.response.headers ?? {}
        const url = new URL(String(location))
        const page = { ...first[i], url, isElsewhere: true } as Page
        await (url.origin === issuer
          ? goTo(() => browser.open(url.href), one)
          : show({ ...one, load: async () => page }, page))
      }
    },
    'change tabs': async () => {
      tab = tabs[(tabs.findIndex(one => one === tab) + 1) % tabs.length]
    },
    back: async () => moveTo((tab?.at ?? 0) - 1),
    forward: async () => moveTo((tab?.at ?? 0) + 1),
    reload: async () => moveTo(tab?.at ?? 0),
    'log in': async ({ user: i, how }: Extract<Move, { do: 'log in' }>) => {
      const entry = entryOf()
      const user = users[i]
      if (!entry || !user || !isLogInForm(entry.page)) return
      const password = how === 'right' || how === 'twice' ? user.password : how === 'empty' ? '' : 'wrong'
      const send = () => browser.submit(entry.page, { username: user.username, password })
      for (let guesses = how === 'guess' ? 11 : 0; guesses > 0; guesses--) isSound(await send())
      await show({ ...entry, load: send }, await sentTwice(send, how === 'twice' ? 2 : 1))
    },
    press: async ({ button: i, times }: Extract<Move, { do: 'press' }>) => {
      const entry = entryOf()
      const [form] = entry?.page.forms ?? []
      if (
        !entry ||
        entry.page.isElsewhere ||
        !form ||
        isLogInForm(entry.page) ||
        isFromUs(form.action, issuer) === false
      )
        return
      const button = form.buttons[i % form.buttons.length]
      if (!button) return
      const send = () => browser.submit(entry.page, {}, { button: `${button.name}=${button.value}` })
      await show({ ...entry, load: send }, await sentTwice(send, times))
    },
    follow: async ({ link: i }: Extract<Move, { do: 'follow' }>) => {
      const entry = entryOf()
      if (!entry || entry.page.isElsewhere || entry.page.links.length === 0) return
      const link = entry.page.links[i % entry.page.links.length]
      if (link) await goTo(() => browser.follow(entry.page, link.text), entry)
    },
    'log out': async ({ isFromClient }: Extract<Move, { do: 'log out' }>) => {
      const [party] = parties
      if (!party) return
      const query = new URLSearchParams({
        client_id: party.client.id,
        post_logout_redirect_uri: `${party.homeUri}bye`,
      })
      const asked = await browser.open(isFromClient ? `/log-out?${query}` : '/log-out')
      isSound(asked)
      if (asked.isElsewhere || asked.forms.length === 0) return
      const done = await browser.submit(asked, {}, { button: 'decision=log_out' })
      isSound(done)
      if (done.isElsewhere && done.url.href !== `${party.homeUri}bye`)
        throw new Error(`led to ${done.url.href}`)
    },
    'clear cookies': async () => browser.cookies.clear(),
    close: async () => browser.close(),
  }

  /** The token of the user who has logged in; undefined where none has. */
  const arrive = async (
    { party, begun }: Pick<Entry, 'party' | 'begun'>,
    page: Page,
  ): Promise<string | undefined> => {
    isSound(page)
    const answer = answerOf(page, issuer)
    see(answer?.searchParams.get('error') ?? (answer ? `a client: ${answer.pathname}` : headingOf(page)))
    if (!answer) return undefined
    const address = `${answer.origin}${answer.pathname}`
    // It may have no home that is known, but it is where it takes its answers.
    if (address === party.homeUri) return undefined
    if (address !== party.redirectUri) throw new Error(`led to ${address} instead of ${party.redirectUri}`)
    const { state, iss, code, error } = Object.fromEntries(answer.searchParams)
    if (state !== begun.state || iss !== issuer)
      throw new Error(`the answer is of another log-in: ${answer.href}`)
    if (code === undefined) {
      if (!errors.has(error ?? '')) throw new Error(`the client is told ${answer.href}`)
      return undefined
    }
    const redeemed = await party.redeem(begun, { ...page, url: answer })
    if (redeemed.status !== 200) throw new Error(`the code is refused: ${JSON.stringify(redeemed)}`)
    return redeemed.id_token
  }

  return {
    make: async move => {
      await makers[move.do]?.(move as never)
    },
    changePassword: async ({ ctx }, i) => {
      const user = users[i]
      if (!user) return
      const password = `${user.password}+`
      const hash = await ctx.users.passwords.hash(password)
      await changePassword(ctx.db, user.id, hash, ctx.clock.now())
      users[i] = { ...user, password }
    },
    logInAfresh: async tick => {
      const [party, user] = [parties[1], users[0]]
      if (!party || !user) throw new Error('unreachable: there are some')
      const begun = party.begin({ prompt: 'login' })
      let page = await browser.open(begun.url, { from: party.homeUri.slice(0, -1) })
      for (let steps = 0; !page.isElsewhere && steps < 5; steps++) {
        tick(Number(page.response.headers['retry-after'] ?? 0))
        if (isLogInForm(page))
          page = await browser.submit(page, { username: user.username, password: user.password })
        else if (page.url.pathname === '/consent')
          page = await browser.submit(page, {}, { button: 'decision=allow' })
        else throw new Error(`a fresh log-in ends at ${page.text}`)
      }
      const token = await arrive({ party, begun }, page)
      if (token === undefined || claimsOf(token)['sub'] !== user.sub)
        throw new Error(`a fresh log-in ends at ${page.url.href}`)
    },
  }
}

/** What a client may be told without a mistake of anybody. */
const errors: ReadonlySet<string> = new Set([
  'access_denied',
  'login_required',
  'consent_required',
  'account_selection_required',
])

function isLogInForm({ forms, isElsewhere }: Page): boolean {
  return !isElsewhere && forms[0]?.fields.has('password') === true
}

function isFromUs(action: string, issuer: string): boolean {
  return new URL(action, issuer).origin === new URL(issuer).origin
}

/** What a browser brings to a client: by a redirect, or by a form that sends itself. */
function answerOf(page: Page, issuer: string): URL | undefined {
  if (page.isElsewhere) return page.url
  const form = page.forms.find(({ action }) => !isFromUs(action, issuer))
  if (!form) return undefined
  const url = new URL(form.action)
  for (const [name, value] of form.fields) url.searchParams.set(name, value)
  return url
}

/** These are where a way ends. */
const ends: readonly string[] = [en.messages.logged_out.heading, en.messages.still_logged_in.heading]

/** No page is a fault, is empty, or leads nowhere. */
function isSound(page: Page): void {
  if (page.isElsewhere) return
  const { response, text, links, forms } = page
  const said = `${page.url.pathname} ${response.statusCode}: ${text}`
  if (![200, 400, 429].includes(response.statusCode)) throw new Error(`it is refused: ${said}`)
  if (!/<h1>[^<]*\S/.test(response.body) || text.length < 40) throw new Error(`it says nothing: ${said}`)
  const isEnd = ends.some(heading => text.includes(heading))
  const leadsOn = links.length > 0 || forms.some(({ buttons }) => buttons.length > 0)
  if (!leadsOn && !isEnd) throw new Error(`it leads nowhere: ${said}`)
}

function headingOf({ response }: Page): string {
  const [, heading = ''] = /<h1>(.*?)<\/h1>/s.exec(response.body) ?? []
  return `${response.statusCode} ${heading.replace(/<bdi>.*?<\/bdi>/g, '…')}`
}

/** Walks at random; tells the seed that walks the same again. Returns what was seen how often. */
export async function walkThroughLogIns(
  t: Test,
  { walks, seed = randomInt(2 ** 31) }: { readonly walks: number; readonly seed?: number },
): Promise<ReadonlyMap<string, number>> {
  t.comment(`seed ${seed}`)
  const chaos = await startChaos(t)
  await fc.assert(fc.asyncProperty(anyWalk, chaos.walk), { numRuns: walks, seed })
  t.comment(Object.fromEntries(chaos.seen))
  return chaos.seen
}
