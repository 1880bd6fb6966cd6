import t, { type Test } from 'tap'
import { disableClient } from '../../db/clients/clients.ts'
import { changeResource } from '../../db/clients/resources.ts'
import { tokensClientId } from '../../src/clients/tokens-client.ts'
import { en } from '../../src/pages/texts/en.ts'
import { personalTokensMax } from '../../src/sessions/personal-tokens.ts'
import { auditOf, mailsTo, openAccount, verifiedMail, withMail } from '../helpers/account.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { personalToken } from '../helpers/personal-tokens.ts'
import { withApp } from '../helpers/second-factors.ts'
import { startedAt, startServer } from '../helpers/server.ts'

const path = '/account/tokens'
const newPath = `${path}/new`
const api = 'https://api.example'
const day = 86_400
const { tokens: texts, problems, notices } = en.ownAccount

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, { ...env, ...withMail })
  const words = { scope: 'read write admin:all', scope_words: '{"read":"Read <your> orders"}' }
  await server.resource(api, { ...words, personal_access_tokens: 1 })
  await server.resource('https://closed.example')
  const ada = await server.user()
  await verifiedMail(server, ada)
  return { server, ada, gateway: await server.client('gateway', { introspects: api }) }
}

const tokenIn = ({ response }: Page) => /mm_pat_[\w-]+/.exec(response.body)?.[0] ?? ''

/** Fills the form in. */
const make = async (browser: Browser, fields: Record<string, string>) =>
  browser.submit(await browser.open(newPath), { 'scope.read': '1', ...fields })

await forEachEngine(t, 'a person makes a token, which is shown once, and ends it', async (t, env) => {
  const { server, ada, gateway } = await world(t, env)
  const browser = openBrowser(server)
  const overview = await openAccount(browser, ada)
  t.match(overview.text, `${texts.title} None yet`)
  const list = await browser.follow(overview, texts.title)
  t.match(list.text, texts.noneYet)
  const form = await browser.follow(list, texts.make)
  t.match(form.text, `It is for ${api}`, 'one API is not asked for')
  for (const text of ['Read <your> orders', 'write']) t.ok(form.text.includes(text), text)
  t.strictSame(form.forms[0]?.fields.get('days'), '90')

  const made = await browser.submit(form, { name: ' nightly ', 'scope.read': '1', days: '7' })
  t.equal(made.response.statusCode, 200)
  t.equal(made.response.headers['cache-control'], 'no-store')
  const text = tokenIn(made)
  t.match(await server.introspect(gateway, text), {
    active: true,
    sub: ada.sub,
    scope: 'read',
    exp: startedAt + 7 * day,
    acr: 'pwd',
  })
  t.match((await auditOf(server, ada)).at(-1), {
    event: 'personal_access_token_created',
    actor: `user ${ada.sub}`,
    detail: { resource: api, scope: ['read'], amr: 'pwd' },
  })
  t.strictSame(await mailsTo(server, ada), ['personal_access_token_created'])
  t.equal(server.ctx.counts.personalTokens.made, 1)
  const secret = text.slice(0, 40)
  const listed = await browser.follow(made, texts.kept)
  t.notOk(listed.response.body.includes(secret), 'nowhere else')
  for (const text of ['nightly', api, 'Read <your> orders', 'Never']) t.ok(listed.text.includes(text), text)
  t.notMatch(listed.text, en.ownAccount.apps.nothing)
  t.match((await browser.open('/account')).text, `${texts.title} 1 in use`)
  t.match((await browser.open('/account/password')).text, en.ownAccount.password.endsTokens)
  const places = await browser.open('/account/places')
  t.match(places.text, en.ownAccount.places.endOthersTokens)
  t.notMatch(places.text, 'Personal access tokens Logged in', 'it is no place')

  const ended = await browser.submit(listed)
  t.match(ended.text, notices.token_ended)
  t.match(ended.text, texts.noneYet)
  t.strictSame(await server.introspect(gateway, text), { active: false })
  t.match((await auditOf(server, ada)).at(-1), {
    event: 'session_revoked',
    detail: { reason: 'ended by its user' },
  })
  t.strictSame((await mailsTo(server, ada)).slice(1), ['personal_access_tokens_ended'])
  t.match((await browser.submit(listed)).text, notices.gone, 'in another tab')
  t.equal((await mailsTo(server, ada)).length, 2, 'which is no news')
  t.notMatch((await browser.open('/account/password')).text, en.ownAccount.password.endsTokens)
})

t.test('a change of a token takes a log-in of just now, with all factors that there are', async t => {
  const { server, ada, gateway } = await world(t)
  const browser = openBrowser(server)
  await openAccount(browser, ada)
  const { text } = await personalToken(server, ada, { name: 'old' })
  const form = await browser.open(newPath)
  server.tick(901)
  const listed = await browser.open(path)
  t.equal(listed.url.pathname, path, 'to see them, any log-in is enough')
  const stale = await browser.submit(listed)
  t.equal(stale.url.pathname, '/log-in')
  t.match(await server.introspect(gateway, text), { active: true })

  const asked = await browser.submit(form, { name: 'nightly', 'scope.read': '1', days: '30' })
  t.equal(asked.url.pathname, '/log-in')
  const back = await browser.submit(asked, { password: ada.password })
  t.equal(back.url.pathname, newPath)
  t.strictSame(
    ['name', 'scope.read', 'scope.write', 'days'].map(name => back.forms[0]?.fields.get(name)),
    ['nightly', '1', undefined, '30'],
    'with what was typed',
  )
  t.match(tokenIn(await browser.submit(back)), /^mm_pat_/)

  const eve = openBrowser(server)
  await openAccount(eve, await server.user('eve'))
  const id = listed.forms[0]?.fields.get('id') ?? ''
  t.match((await eve.post(path, { id })).text, notices.gone)
  t.match((await eve.post(path, { decision: 'end_all' })).text, notices.gone)
  const foreign = await browser.post(path, { decision: 'end_all' }, { from: 'https://evil.example' })
  t.equal(foreign.response.statusCode, 403)
  t.match(await server.introspect(gateway, text), { active: true }, "another's goes on")
  t.match((await browser.post(path, { id: 'x' })).text, notices.gone)
  await personalToken(server, ada, { name: 'new' })
  const three = await browser.open(path)
  t.equal(three.forms.length, 4, 'one for each, and one for all')
  t.match((await browser.submit(three)).text, notices.token_ended)
  t.match(await server.introspect(gateway, text), { active: true }, 'the others go on')
  const all = await browser.submit(await browser.open(path), {}, { button: 'decision=end_all' })
  t.match(all.text, notices.tokens_ended)
  t.strictSame(await server.introspect(gateway, text), { active: false })
  const ends = (await mailsTo(server, ada)).filter(kind => kind === 'personal_access_tokens_ended')
  t.equal(ends.length, 2, 'told of in one mail')
})

t.test('a form that cannot be says why, and keeps what was typed', async t => {
  const { server, ada } = await world(t)
  const browser = openBrowser(server)
  await openAccount(browser, ada)
  t.match(tokenIn(await make(browser, { name: 'ci' })), /^mm_pat_/)
  for (const [problem, fields] of Object.entries({
    token_name: { name: '   ' },
    token_name_taken: { name: 'ci', days: '365' },
    token_scope: { name: 'x', 'scope.read': '' },
    token_end: { name: 'x', days: '366' },
  } as const)) {
    const page = await make(browser, fields)
    t.equal(page.response.statusCode, 400, problem)
    t.ok(page.text.includes(problems[problem as keyof typeof problems]), problem)
    t.equal(page.url.searchParams.get('resource'), api)
    t.equal(page.forms[0]?.fields.get('name'), fields.name.trim(), problem)
    t.equal(page.forms[0]?.fields.get('scope.read'), problem === 'token_scope' ? undefined : '1')
    t.equal(page.forms[0]?.fields.get('days'), problem === 'token_name_taken' ? '365' : '90')
  }
  const fields = { name: 'y', 'scope.read': '1', days: '7' }
  for (const [resource, title] of [
    ['https://closed.example', 'one that takes none'],
    ['https://no.example', 'an unknown one'],
    [`${api} https://closed.example`, 'two'],
  ] as const) {
    const page = await browser.post(newPath, { ...fields, resource })
    t.strictSame([page.url.pathname, page.response.statusCode], [path, 400], title)
    t.ok(page.text.includes(problems.token_api), title)
    t.equal((await browser.open(`${newPath}?resource=${encodeURIComponent(resource)}`)).url.pathname, path)
  }
  t.match((await browser.post(newPath, fields)).text, problems.token_api)
  t.match(
    (await browser.post(newPath, { ...fields, resource: api, 'scope.no': '1' })).text,
    problems.token_scope,
  )
})

t.test('a scope of administrators takes a second factor, which the page says', async t => {
  const { server, ada, gateway } = await world(t)
  const browser = openBrowser(server)
  await openAccount(browser, ada)
  const form = await browser.open(newPath)
  t.match(form.text, `${texts.beyond} admin:all`)
  t.notOk(form.response.body.includes('name="scope.admin:all"'))
  const fields = { resource: api, name: 'boss', 'scope.admin:all': '1', days: '7' }
  t.match((await browser.post(newPath, fields)).text, problems.token_second_factor)
  const app = await withApp(server, ada)
  const asked = await browser.open(newPath)
  t.equal(asked.url.pathname, '/log-in', 'who has one is asked for it')
  const again = await browser.submit(asked, { code: app.code() })
  t.equal(again.url.pathname, newPath)
  t.notMatch(again.text, texts.beyond)
  const made = await browser.submit(again, { name: 'boss', 'scope.admin:all': '1' })
  t.match(await server.introspect(gateway, tokenIn(made)), { scope: 'admin:all', acr: 'mfa' })
})

t.test('each scope of an API that has very many can be ticked', async t => {
  const { server, ada } = await world(t)
  const browser = openBrowser(server)
  const many = Array.from({ length: 200 }, (_, i) => `things.of.kind.${i}:read`)
  const manyApi = 'https://many.example'
  await server.resource(manyApi, { personal_access_tokens: 1, scope: many.join(' ') })
  await server.ctx.clients.registry.follow()
  await openAccount(browser, ada)
  const boxes = await browser.follow(await browser.open(newPath), manyApi)
  const ticks = Object.fromEntries(many.map(scope => [`scope.${scope}`, '1']))
  t.match(tokenIn(await browser.submit(boxes, { ...ticks, name: 'all there is', days: '7' })), /^mm_pat_/)
})

t.test('the page tells each state', async t => {
  const { server, ada } = await world(t)
  const { db, clock } = server.ctx
  const seen = async (address = path) => (await openAccount(browser, ada, address)).text
  const browser = openBrowser(server)
  await server.resource('https://b.example', { personal_access_tokens: 1, scope: '' })
  await server.ctx.clients.registry.follow()
  await openAccount(browser, ada)
  const apis = await browser.open(newPath)
  t.match(apis.text, texts.whichApi)
  const chosen = await browser.follow(apis, 'https://b.example')
  t.match(tokenIn(await browser.submit(chosen, { name: 'one without scopes', days: '365' })), /^mm_pat_/)

  const allow = async (uri: string, personal_access_tokens: number) => {
    await changeResource(db, uri, { personal_access_tokens })
    await server.ctx.clients.registry.follow()
  }
  await allow('https://b.example', 0)
  t.match(await seen(), texts.ofNoUse)
  await allow(api, 0)
  t.match(await seen(), texts.off)
  t.match(await seen('/account'), `${texts.title} 1 in use`, 'as long as there is one')
  t.match(await seen(newPath), problems.token_api)
  const eve = openBrowser(server)
  t.notMatch((await openAccount(eve, await server.user('eve'))).text, texts.title)

  await allow(api, 1)
  await personalToken(server, ada, { name: 'short', seconds: day })
  server.tick(day)
  const over = await seen()
  t.match(over, texts.isOver)
  t.match(over, `${texts.over} `)
  t.match(await seen('/account'), `${texts.title} 1 in use`)
  t.equal((await browser.open(path)).forms.length, 1, 'what has ended is not to be ended')
  t.match(tokenIn(await make(browser, { name: 'short' })), /^mm_pat_/, 'its name is free')
  server.tick(7 * day)
  t.notMatch(await seen(), texts.isOver)

  for (let n = 2; n < personalTokensMax; n++) await personalToken(server, ada, { name: `${n}` })
  const full = await seen()
  t.match(full, problems.token_too_many)
  t.notOk((await browser.open(path)).links.some(({ text }) => text === texts.make))
  t.match((await make(browser, { name: 'one more' })).text, problems.token_too_many)

  await disableClient(db, tokensClientId, clock.now())
  await server.ctx.clients.registry.follow()
  t.match(await seen(), texts.off, 'an administrator has switched them off')
  t.match(await seen(), texts.noneYet)
})
