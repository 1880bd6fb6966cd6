import t, { type Test } from 'tap'
import type { PublicKeyCredentialCreationOptionsJSON } from '@simplewebauthn/server'
import { listRecoveryCodes } from '../../db/factors/recovery-codes.ts'
import { en } from '../../src/pages/texts/en.ts'
import { openAccount } from '../helpers/account.ts'
import { softAuthenticator } from '../helpers/authenticator.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { appOf, recoveryCodesOf, withApp, withPasskey } from '../helpers/second-factors.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from '../helpers/server.ts'

const newPassword = 'a wholly other one'

async function openWorld(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  const demanding = await relyingParty(server, 'demanding', { acr: 'mfa' })
  const beside = await startServer(t, { ...env, ...besideEnv(server) })
  return { server, beside, web: await relyingParty(server), demanding }
}

/** The person and the browser of one try. */
async function openScene(world: Awaited<ReturnType<typeof openWorld>>, n: number) {
  const ada = await world.server.user(`ada${n}`)
  await world.beside.follow()
  return { ...world, ada, browser: openBrowser(world.server, { address: `198.51.100.${n}` }), n }
}

type Scene = Awaited<ReturnType<typeof openScene>>

/** Sets an app up, for which time passes, at both instances. */
async function appAt({ server, beside, ada }: Scene) {
  const [before, app] = [server.ctx.clock.now(), await withApp(server, ada)]
  beside.tick(server.ctx.clock.now() - before)
  return app
}

/** A form, as its page would send it. */
interface Form {
  readonly action: string
  readonly fields: Readonly<Record<string, string>>
}

function fill(page: Page, fields: Form['fields'] = {}): Form {
  const names = Object.keys(fields).filter(name => name !== 'passkey')
  const form = page.forms.find(one => names.every(name => one.fields.has(name)))
  if (!form) throw new Error(page.text)
  return { action: form.action, fields: { ...Object.fromEntries(form.fields), ...fields } }
}

/** What the script of a page has from it. */
function optionsOn(page: Page) {
  const [, json = ''] = / data-passkey="([^"]*)"/.exec(page.response.body) ?? []
  return JSON.parse(json.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&'))
}

function withNewPasskey(page: Page): Form {
  const { create } = optionsOn(page) as { create: PublicKeyCredentialCreationOptionsJSON }
  const { response } = softAuthenticator('https://as.example').create(create)
  const form = page.forms.find(({ fields }) => fields.has('name'))
  if (!form) throw new Error(page.text)
  return {
    action: form.action,
    fields: { ...Object.fromEntries(form.fields), name: 'Phone', passkey: response },
  }
}

function withNewApp(server: TestServer, page: Page): Form {
  const [, key = ''] = /<code class="key"[^>]*>([^<]*)</.exec(page.response.body) ?? []
  return fill(page, { code: appOf(server, key.replaceAll(' ', '')).code() })
}

/** The forms whose answer has what cannot be had again. */
const forms: Readonly<Record<string, (scene: Scene) => Promise<Form>>> = {
  'an authenticator app': async ({ server, browser, ada }) =>
    withNewApp(server, await openAccount(browser, ada, '/account/authenticator')),
  'a passkey': async ({ browser, ada }) =>
    withNewPasskey(await openAccount(browser, ada, '/account/passkeys')),
  'an app on the way to a client': async ({ server, browser, ada, demanding }) => {
    const offered = await logInWith(browser, demanding.begin(), ada)
    return withNewApp(server, await browser.follow(offered, 'Set up an authenticator app'))
  },
  'a passkey on the way to a client': async ({ browser, ada, demanding }) =>
    withNewPasskey(await logInWith(browser, demanding.begin(), ada)),
  'new recovery codes': async scene => {
    const { browser, ada } = scene
    const app = await appAt(scene)
    const half = await openAccount(browser, ada, '/account/recovery-codes')
    return fill(await browser.submit(half, { code: app.code() }))
  },
  'a new password': async ({ browser, ada }) =>
    fill(await openAccount(browser, ada, '/account/password'), {
      password: newPassword,
      repeat: newPassword,
    }),
  'a code at a log-in': async scene => {
    const { browser, ada, web } = scene
    const app = await appAt(scene)
    return fill(await logInWith(browser, web.begin(), ada), { code: app.code() })
  },
  'a recovery code at a log-in': async scene => {
    const { server, browser, ada, web } = scene
    await appAt(scene)
    const [code = ''] = await recoveryCodesOf(server, ada)
    return fill(await logInWith(browser, web.begin(), ada), { recovery_code: code })
  },
  'a code of who is logged in already': async scene => {
    const { browser, ada, web, demanding } = scene
    await logInWith(browser, web.begin(), ada)
    const app = await appAt(scene)
    return fill(await browser.open(demanding.begin().url), { code: app.code() })
  },
  'a passkey at a log-in': async ({ server, browser, ada, web }) => {
    const passkey = await withPasskey(server, ada)
    const page = await browser.open(web.begin().url)
    return fill(page, { passkey: passkey.use(optionsOn(page).get) })
  },
}

type At = 'server' | 'beside'

/** Another window of the same browser, with its cookies of this moment, perhaps at another instance. */
function windowOf(scene: Scene, browser: Browser, at: At = 'server'): Browser {
  const other = openBrowser(scene[at], { address: `198.51.100.${scene.n}` })
  for (const [name, cookie] of browser.cookies) other.cookies.set(name, cookie)
  return other
}

type Send = (browser: Browser) => Promise<Page>

/** How two equal forms may arrive; each gives the pages on which its person ends. */
const arrivals: Readonly<Record<string, (scene: Scene, send: Send) => Promise<readonly Page[]>>> = {
  'one after the other': async ({ browser }, send) => [await send(browser), await send(browser)],
  'the first answer is dropped': async (scene, send) => {
    const first = await send(windowOf(scene, scene.browser, 'beside'))
    return [first, await send(scene.browser)]
  },
  'at once': async (scene, send) => {
    const [one, other] = [windowOf(scene, scene.browser), windowOf(scene, scene.browser, 'beside')]
    return Promise.all([send(one), send(other)])
  },
}

const effectsOf = async ({ server: { ctx } }: Scene, { id }: TestUser) => {
  const audit = await ctx.db.sql.selectFrom('audit').select('event').where('user_id', '=', id).execute()
  const outbox = await ctx.db.sql.selectFrom('outbox').select('kind').where('user_id', '=', id).execute()
  return [...audit.map(({ event }) => event), ...outbox.map(({ kind }) => kind)].toSorted()
}

const codesOn = ({ response }: Page) =>
  [...response.body.matchAll(/<li><code>([0-9A-Z-]+)<\/code>/g)].map(([, code = '']) => code)

/** The same for all: without ids, names and codes. */
const seenOn = ({ url, response, text }: Page) => ({
  at: url.host + url.pathname,
  status: response.statusCode,
  text: text.replace(/Reference: \S+|(?<=ada)\d+|\b\w{4}-\w{4}-\w{4}\b/g, ''),
})

async function play(
  scene: Scene,
  begin: (scene: Scene) => Promise<Form>,
  arrive: (scene: Scene, send: Send) => Promise<readonly Page[]>,
) {
  const { action, fields } = await begin(scene)
  const before = await effectsOf(scene, scene.ada)
  const pages = await arrive(scene, browser => browser.post(action, fields))
  const after = await effectsOf(scene, scene.ada)
  return { pages, seen: pages.map(seenOn), effects: [before, after] }
}

await forEachEngine(
  t,
  'a form whose answer cannot be had again is answered alike when it is sent twice',
  async (t, env) => {
    const world = await openWorld(t, env)
    let n = 0
    for (const [form, begin] of Object.entries(forms)) {
      const once = await play(await openScene(world, ++n), begin, async ({ browser }, send) => [
        await send(browser),
      ])
      t.not(once.effects[1]?.length, once.effects[0]?.length, `${form} does something`)
      for (const [arrival, arrive] of Object.entries(arrivals)) {
        const scene = await openScene(world, ++n)
        const { pages, seen, effects } = await play(scene, begin, arrive)
        for (const one of seen) t.strictSame(one, once.seen[0], `${form}, ${arrival}`)
        t.strictSame(effects, once.effects, `${form}, ${arrival}: one effect`)
        const [first, second] = pages.map(codesOn)
        if (second) t.strictSame(second, first, 'the same codes')
        const stored = await listRecoveryCodes(scene.server.ctx.db, scene.ada.id)
        if (first?.length) t.equal(stored.length, 10)
      }
    }
  },
)

t.test('the answer of a form is for the same browser and request alone, and not for long', async t => {
  const world = await openWorld(t)
  const { server } = world
  const scene = await openScene(world, 1)
  const { browser, ada, web } = scene
  const app = await appAt(scene)
  const page = await logInWith(browser, web.begin(), ada)
  const stranger = openBrowser(server)
  const theirs = await logInWith(stranger, web.begin(), ada)
  const other = await logInWith(browser, web.begin(), ada)
  const code = app.code()
  const early = windowOf(scene, browser)
  const late = windowOf(scene, browser)
  const send = (by: Browser, { action, fields }: Form) => by.post(action, fields)
  t.equal((await send(browser, fill(page, { code }))).isElsewhere, true)
  t.match((await send(early, fill(other, { code }))).text, en.logIn.problems.wrong_code, 'another request')
  t.match((await send(stranger, fill(theirs, { code }))).text, en.logIn.problems.wrong_code)
  const copied = await send(stranger, fill(page, { code }))
  t.notOk(copied.isElsewhere, 'another browser')
  t.notOk(stranger.cookies.has('__Host-mintmark'))

  const [row] = await server.ctx.db.sql
    .selectFrom('idempotency_keys')
    .selectAll()
    .where('caller', '=', 'a browser')
    .execute()
  t.notMatch(row?.sealed.toString('latin1'), 'mm_si_', 'it is sealed')
  server.tick(30)
  t.match((await send(late, fill(page, { code }))).text, en.logIn.problems.wrong_code, 'nor later')
  server.tick(30)
  await runJob(server, 'forgetting kept answers')
  t.strictSame(await server.ctx.db.sql.selectFrom('idempotency_keys').selectAll().execute(), [])
})

t.test('a form that was refused is heard again', async t => {
  const scene = await openScene(await openWorld(t), 1)
  const { server, browser, ada, web } = scene
  const app = await appAt(scene)
  const page = await logInWith(browser, web.begin(), ada)
  const { action, fields } = fill(page, { code: app.code(1) })
  const answers = server.ctx.db.sql.selectFrom('idempotency_keys').selectAll()
  const wrong = { ...fields, code: app.code(3) }
  t.match((await browser.post(action, wrong)).text, en.logIn.problems.wrong_code)
  t.strictSame(await answers.execute(), [], 'nothing is kept of it')
  server.tick(60)
  t.equal((await browser.post(action, wrong)).isElsewhere, true, 'by what is right now')
})

t.test('nobody is given what another one of the same browser has asked for', async t => {
  const scene = await openScene(await openWorld(t), 1)
  const { server, browser, ada } = scene
  const bob = await server.user('bob')
  const people = [
    { user: ada, app: await withApp(server, ada) },
    { user: bob, app: await withApp(server, bob) },
  ]
  const codes: string[] = []
  for (const { user, app } of people) {
    browser.cookies.delete('__Host-mintmark')
    const half = await openAccount(browser, user, '/account/recovery-codes')
    const { action, fields } = fill(await browser.submit(half, { code: app.code() }))
    codes.push(...codesOn(await browser.post(action, fields)))
  }
  t.equal(new Set(codes).size, 20)
})
