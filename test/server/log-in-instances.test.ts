import t, { type Test } from 'tap'
import { findSession } from '../../db/sessions/sessions.ts'
import { endSessionsOfUser } from '../../src/endings/end.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { byCommand } from '../helpers/by-command.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import {
  logInWith,
  relyingParty,
  type Begun,
  type Redeemed,
  type RelyingParty,
} from '../helpers/relying-party.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from '../helpers/server.ts'

interface Instances {
  readonly all: readonly [TestServer, TestServer, ...TestServer[]]
  /** What stands before them: it passes each request to another one than the request before. */
  readonly front: TestServer
  /** Which instance has served what. */
  readonly served: readonly { readonly by: TestServer; readonly what: string }[]
  /** Puts a new instance in the place of one, which serves nothing any more. */
  restart(index: number): Promise<void>
}

/** Several servers on one database: three on PostgreSQL, two on SQLite. */
async function openInstances(t: Test, env: EngineEnv): Promise<Instances> {
  const first = await startServer(t, env)
  const beside = () => startServer(t, { ...env, ...besideEnv(first) })
  const all: Instances['all'] & TestServer[] = [first, await beside()]
  if (first.ctx.db.engine === 'postgres') all.push(await beside())
  const served: { by: TestServer; what: string }[] = []
  let turn = 0
  const next = (method: string, url: string): TestServer => {
    const by = all[turn++ % all.length] ?? first
    served.push({ by, what: `${method} ${url.replace(/\?.*/s, '')}` })
    return by
  }
  const front: TestServer = {
    ...first,
    request: options => next(String(options.method ?? 'GET'), String(options.url)).request(options),
    post: (path, ...more) => next('POST', path).post(path, ...more),
    client: async (...settings) => {
      const client = await first.client(...settings)
      for (const instance of all) await instance.follow()
      return client
    },
  }
  return {
    all,
    front,
    served,
    restart: async index => void (all[index] = await beside()),
  }
}

const allow = { button: 'decision=allow' }

/** Pushes the request of a client; the URL is the one that is left of it. */
async function push(front: TestServer, { client }: RelyingParty, begun: Begun): Promise<Begun> {
  const parameters = new URLSearchParams(begun.url.replace(/^[^?]*/, ''))
  const response = await front.post('/par', { ...Object.fromEntries(parameters), ...client.form })
  const { request_uri } = response.json()
  return { ...begun, url: `/authorize?${new URLSearchParams({ client_id: client.id, request_uri })}` }
}

/** Logs in where that is needed, and redeems the code. */
async function enter(browser: Browser, party: RelyingParty, user: TestUser) {
  const begun = party.begin()
  const page = await browser.open(begun.url)
  const { username, password } = user
  return party.redeem(begun, page.isElsewhere ? page : await browser.submit(page, { username, password }))
}

const hasCode = ({ isElsewhere, url }: Page) => isElsewhere && url.searchParams.has('code')

async function rowsOf({ ctx }: TestServer, table: 'sessions' | 'sign_ins' | 'consents') {
  return ctx.db.sql.selectFrom(table).select('id').execute()
}

const signInCookie = '__Host-mintmark'

await forEachEngine(
  t,
  'invariant 18: a whole log-in, of which each request meets another instance, and one that is restarted',
  async (t, env) => {
    const { all, front, served, restart } = await openInstances(t, env)
    const web = await relyingParty(front, 'web', { consent: 'once' })
    const ada = await front.user()
    const browser = openBrowser(front)
    const begun = await push(front, web, web.begin())
    const { username } = ada
    const again = await logInWith(browser, begun, { username, password: 'not the right one' })
    t.equal(again.url.pathname, '/log-in', 'a wrong password leads to the form')
    await restart(1)
    const asked = await browser.submit(again, { username, password: ada.password })
    t.equal(asked.url.pathname, '/consent')
    await restart(0)
    const tokens = await web.redeem(begun, await browser.submit(asked, {}, allow))
    t.equal(tokens.status, 200)
    const headers = { authorization: `Bearer ${tokens.access_token}` }
    t.equal((await front.request({ url: '/userinfo', headers })).json().sub, ada.sub)
    const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...web.client.form }
    const refreshed = (await front.post('/token', refresh)).json()
    t.match(refreshed, { refresh_token: /^mm_rt_/, id_token: String })

    const silent = web.begin({ prompt: 'none' })
    t.equal(hasCode(await browser.open(silent.url)), true, 'nothing more is asked, wherever')
    await restart(1)
    const question = await browser.open('/log-out')
    t.ok(question.text.includes(username))
    await browser.submit(question, {}, { button: 'decision=log_out' })
    const later = { ...refresh, refresh_token: refreshed.refresh_token }
    for (const instance of all) t.equal((await instance.post('/token', later)).statusCode, 400)
    const nobody = await browser.open(silent.url)
    t.equal(nobody.url.searchParams.get('error'), 'login_required')

    const paths = served.map(({ what }) => what)
    for (const what of ['POST /par', 'GET /authorize', 'GET /log-in', 'POST /log-in', 'GET /consent'])
      t.ok(paths.includes(what), what)
    for (const what of ['POST /consent', 'POST /token', 'GET /userinfo', 'GET /log-out', 'POST /log-out'])
      t.ok(paths.includes(what), what)
    t.ok(
      served.every(({ by }, i) => by !== served[i - 1]?.by),
      'no two requests have met the same one',
    )
  },
)

/** Holds so many log-ins, at whatever instance, once their passwords are known to be right or wrong. */
function holdAtHash(
  instances: readonly TestServer[],
  count: number,
): { readonly reached: Promise<void>; readonly release: () => void } {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let held = 0
  const resets = instances.map(({ ctx: { users } }) => {
    const { verify } = users.passwords
    const holding: typeof verify = async (...guess) => {
      const isRight = await verify(...guess)
      if (++held === count) reached.resolve()
      await released.promise
      return isRight
    }
    Object.assign(users.passwords, { verify: holding })
    return () => Object.assign(users.passwords, { verify })
  })
  const release = () => {
    for (const reset of resets) reset()
    released.resolve()
  }
  return { reached: reached.promise, release }
}

for (const [name, prompt] of [
  ['a log-in', {}],
  ['a step up', { prompt: 'login' }],
] as const) {
  await forEachEngine(
    t,
    `invariant 17: ${name} while another instance changes the password gives no sign-in and no code`,
    async (t, env) => {
      const { all, front } = await openInstances(t, env)
      const [here, there] = all
      const web = await relyingParty(front)
      const ada = await front.user()
      const browser = openBrowser(here)
      const before = 'prompt' in prompt ? await logInWith(browser, web.begin(), ada) : undefined
      const form = await browser.open(web.begin(prompt).url)
      const cookie = browser.cookies.get(signInCookie)
      const { reached, release } = holdAtHash([here], 1)
      const answer = browser.submit(form, { username: ada.username, password: ada.password })
      await reached
      const password = await there.ctx.users.passwords.hash('another one, and long')
      await endSessionsOfUser(byCommand(there.ctx), ada.id, { reason: 'password changed', password })
      release()
      t.equal(hasCode(await answer), false)
      t.equal(browser.cookies.get(signInCookie), cookie, 'the browser has got no cookie')
      for (const instance of all) {
        const silent = await openBrowserWith(instance, browser).open(web.begin({ prompt: 'none' }).url)
        t.equal(silent.url.searchParams.get('error'), 'login_required')
      }
      if (before) t.equal((await web.redeem(web.begin(), before)).status, 400, 'nor is a code of before good')
      t.strictSame(await rowsOf(here, 'sessions'), [])
    },
  )
}

/** The same browser, whose requests go to one instance. */
function openBrowserWith(instance: TestServer, { cookies }: Browser): Browser {
  const browser = openBrowser(instance)
  for (const [name, cookie] of cookies) browser.cookies.set(name, cookie)
  return browser
}

await forEachEngine(
  t,
  'invariant 14: after the answer to a log-out no refresh of its sessions succeeds, at any instance',
  async (t, env) => {
    const { all, front } = await openInstances(t, env)
    const [here] = all
    const parties = [await relyingParty(front), await relyingParty(front, 'shop')]
    const ada = await front.user()
    for (let round = 0; round < 3; round++) {
      const browser = openBrowser(here)
      let isAnswered = false
      const sessions: Refreshing[] = []
      for (const [i, party] of parties.entries()) {
        const tokens = await enter(browser, party, ada)
        sessions.push({ party, tokens, instance: all[all.length - 1 - (i % (all.length - 1))] ?? here })
      }
      let [refreshed, succeededLater] = [0, 0]
      const isUnderWay = Promise.withResolvers<void>()
      const keepRefreshing = async ({ party, tokens, instance }: Refreshing) => {
        for (let token = tokens.refresh_token; ;) {
          const isLate = isAnswered
          const form = { grant_type: 'refresh_token', refresh_token: token, ...party.client.form }
          const response = await instance.post('/token', form)
          if (response.statusCode !== 200) return response.statusCode
          if (isLate) succeededLater++
          if (succeededLater > 10) return 200
          token = response.json().refresh_token
          if (++refreshed === 6 + round) isUnderWay.resolve()
        }
      }
      const ended = Promise.all(sessions.map(keepRefreshing))
      await isUnderWay.promise
      const [id_token_hint = ''] = sessions.map(({ tokens }) => tokens.id_token)
      const bye = await browser.open(`/log-out?${new URLSearchParams({ id_token_hint })}`)
      isAnswered = true
      t.equal(bye.response.statusCode, 200)
      const generations = await generationsOf(here, sessions)
      t.strictSame(await ended, [400, 400])
      t.equal(succeededLater, 0)
      t.strictSame(await generationsOf(here, sessions), generations, 'nor has any moved since')
    }
  },
)

interface Refreshing {
  readonly party: RelyingParty
  readonly tokens: Redeemed
  readonly instance: TestServer
}

async function generationsOf(
  { ctx }: TestServer,
  sessions: readonly Refreshing[],
): Promise<readonly object[]> {
  const found: object[] = []
  for (const { tokens } of sessions) {
    const sid = parseUuid(String(claimsOf(tokens.access_token)['sid']))
    if (!sid) throw new Error('unreachable: tokens name their session')
    const { generation, revoke_reason } = (await findSession(ctx.db, sid)) ?? {}
    found.push({ generation, revoke_reason })
  }
  return found
}

await forEachEngine(
  t,
  'two tabs that finish at once, at two instances, each get their session, and the browser is logged in',
  async (t, env) => {
    const { all, front } = await openInstances(t, env)
    const parties = [await relyingParty(front), await relyingParty(front, 'shop')]
    const { username, password, ...ada } = await front.user()
    const browser = openBrowser(front)
    const begun = parties.map(party => party.begin())
    const forms: Page[] = []
    for (const { url } of begun) forms.push(await browser.open(url))
    const { reached, release } = holdAtHash(all, 2)
    const answers = Promise.all(forms.map(form => browser.submit(form, { username, password })))
    await reached
    release()
    for (const [i, page] of (await answers).entries()) {
      const [party, asked] = [parties[i], begun[i]]
      if (!party || !asked) throw new Error('unreachable')
      t.ok(hasCode(page))
      const { status, id_token } = await party.redeem(asked, page)
      t.equal(status, 200)
      t.equal(claimsOf(id_token)['sub'], ada.sub)
      t.ok(hasCode(await browser.open(party.begin({ prompt: 'none' }).url)))
    }
  },
)

for (const [end, title] of [
  ['log-out', 'one log-out'],
  ['another user logged in', 'another user'],
] as const) {
  await forEachEngine(
    t,
    `invariant 14: what two tabs of a new browser have begun at once ends with ${title}`,
    async (t, env) => {
      const { all, front } = await openInstances(t, env)
      const web = await relyingParty(front)
      const [ada, bob] = [await front.user(), await front.user('bob')]
      const elsewhere = await enter(openBrowser(front), web, ada)
      const browser = openBrowser(front)
      const { username, password } = ada
      const begun = [web.begin(), web.begin()] as const
      const forms = [await browser.open(begun[0].url), await browser.open(begun[1].url)]
      const { reached, release } = holdAtHash(all, 2)
      const answers = Promise.all(forms.map(form => browser.submit(form, { username, password })))
      await reached
      release()
      const tabs: Redeemed[] = []
      for (const [i, page] of (await answers).entries())
        tabs.push(await web.redeem(i === 0 ? begun[0] : begun[1], page))
      const statusesOf = async (some: readonly Redeemed[]): Promise<readonly number[]> => {
        const statuses: number[] = []
        for (const tokens of some) {
          const form = {
            grant_type: 'refresh_token',
            refresh_token: tokens.refresh_token,
            ...web.client.form,
          }
          statuses.push((await front.post('/token', form)).statusCode)
        }
        return statuses
      }
      t.equal((await rowsOf(front, 'sign_ins')).length, 3, 'neither form came with a cookie')
      t.strictSame(await statusesOf(tabs), [200, 200])
      if (end === 'log-out')
        await browser.submit(await browser.open('/log-out'), {}, { button: 'decision=log_out' })
      else await logInWith(browser, web.begin({ prompt: 'login' }), bob)
      t.strictSame(await statusesOf(tabs), [400, 400])
      t.strictSame(await statusesOf([elsewhere]), [200], 'not those of another browser')
      const entries = front.ctx.db.sql
        .selectFrom('audit')
        .select('detail')
        .where('event', '=', 'sign_in_ended')
      const reasons = (await entries.execute()).map(({ detail }) => JSON.parse(detail ?? '{}').reason)
      t.strictSame(reasons, [end, end], 'each is recorded')
    },
  )
}

await forEachEngine(
  t,
  'invariant 14: of two step ups at once, at two instances, one sets a cookie, and that of before is nothing',
  async (t, env) => {
    const { all, front } = await openInstances(t, env)
    const web = await relyingParty(front)
    const ada = await front.user()
    const { username, password } = ada
    const browser = openBrowser(front)
    await logInWith(browser, web.begin(), ada)
    for (let round = 0; round < 3; round++) {
      const before = browser.cookies.get(signInCookie)
      const begun = [1, 2].map(() => web.begin({ prompt: 'login' }))
      const forms: Page[] = []
      for (const { url } of begun) forms.push(await browser.open(url))
      const { reached, release } = holdAtHash(all, 2)
      const answers = Promise.all(forms.map(form => browser.submit(form, { username, password })))
      await reached
      release()
      const pages = await answers
      t.ok(pages.every(hasCode), 'each has an answer')
      const set = pages.filter(({ response }) =>
        [response.headers['set-cookie'] ?? []].flat().some(text => text.startsWith(`${signInCookie}=`)),
      )
      t.equal(set.length, 1)
      t.equal((await rowsOf(front, 'sign_ins')).length, 1, 'and there is one sign-in')
      for (const instance of all) {
        const open = async (one: Browser) => one.open(web.begin({ prompt: 'none' }).url)
        t.equal(hasCode(await open(openBrowserWith(instance, browser))), true)
        const old = openBrowserWith(instance, browser)
        if (before) old.cookies.set(signInCookie, before)
        t.equal(hasCode(await open(old)), false)
      }
    }
  },
)

await forEachEngine(
  t,
  'invariant 12: a request_uri that two people use at once, at two instances, yields one session (A-11)',
  async (t, env) => {
    const { front } = await openInstances(t, env)
    const web = await relyingParty(front)
    const [ada, bob] = [await front.user(), await front.user('bob')]
    for (let round = 1; round <= 3; round++) {
      const begun = await push(front, web, web.begin())
      const forms = []
      for (const { username, password } of [ada, bob, ada]) {
        const browser = openBrowser(front)
        forms.push({ browser, form: await browser.open(begun.url), typed: { username, password } })
      }
      const pages = await Promise.all(forms.map(({ browser, form, typed }) => browser.submit(form, typed)))
      t.ok(pages.every(hasCode), 'there is no session yet')
      const statuses = (await Promise.all(pages.map(page => web.redeem(begun, page)))).map(
        ({ status }) => status,
      )
      t.strictSame(statuses.sort(), [200, 400, 400])
      t.equal((await rowsOf(front, 'sessions')).length, round)
    }
  },
)

await forEachEngine(
  t,
  'invariant 12: consent that is given twice at once, at two instances, is one consent and one session',
  async (t, env) => {
    const { front } = await openInstances(t, env)
    const ada = await front.user()
    for (let round = 1; round <= 3; round++) {
      const shop = await relyingParty(front, `shop-${round}`, { consent: 'once' })
      const begun = shop.begin()
      const browser = openBrowser(front)
      const page = await browser.open(begun.url)
      const { username, password } = ada
      const asked =
        page.url.pathname === '/consent' ? page : await browser.submit(page, { username, password })
      const pages = await Promise.all([1, 2].map(() => browser.submit(asked, {}, allow)))
      t.ok(pages.every(hasCode), 'each has an answer')
      const statuses = (await Promise.all(pages.map(one => shop.redeem(begun, one)))).map(
        ({ status }) => status,
      )
      t.strictSame(statuses.sort(), [200, 400])
      t.equal((await rowsOf(front, 'consents')).length, round)
      t.equal((await rowsOf(front, 'sessions')).length, round)
      browser.close()
    }
  },
)
