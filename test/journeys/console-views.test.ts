import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Page } from 'playwright-core'
import t from 'tap'
import { findGroup } from '../../db/users/groups.ts'
import { findInstallation } from '../../db/installation/installation.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { createStream, describeStream } from '../../src/admin/streams.ts'
import { buildConsole } from '../helpers/built-console.ts'
import { startChromium } from '../helpers/chromium.ts'
import { axeFindsNothingIn } from '../helpers/console-axe.ts'
import { consoleWorld, goTo, isSaid, isSettled, openConsole, press, title } from '../helpers/console.ts'
import { runJob } from '../helpers/run-job.ts'
import { testMachines } from './console-machines.ts'
import { testTokens } from './console-tokens.ts'

await buildConsole()
const browser = await startChromium(t)
const world = await consoleWorld(t)
const { server } = world
const ada = await server.user('ada', 'reader')
const adam = await server.user('adam')
await server.resource('https://api.example', { claims: 'roles groups plan' })
const app = await server.client('orders', { client_name: 'Orders', resources: 'https://api.example' })

const inDialog = (page: Page, name: string) =>
  page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
const follow = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).first().click()

t.test('a group is made, has members, gives them roles, and is deleted once it is told of whom', async t => {
  const page = await openConsole(t, browser, world)
  await follow(page, 'Groups')
  await page.getByText('There are no groups yet.').waitFor()
  await page.getByText('mintmark group create staff').waitFor()
  await press(page, 'Add a group')
  await page.getByLabel('Name').fill('staff')
  await page.getByRole('textbox', { name: 'Roles' }).fill('editor')
  await inDialog(page, 'Add')
  await title(page, 'staff')
  await page.getByText('Nobody is in this group yet.').waitFor()

  await press(page, 'Add a member')
  await page.getByLabel('User name').fill('ad')
  await inDialog(page, 'Add')
  const alert = page.getByRole('alert')
  await alert.getByText('There is no user ad. Names that begin so: ada, adam.').waitFor()
  await page.getByLabel('User name').fill('ADA')
  await inDialog(page, 'Add')
  await isSaid(page, 'ada is in staff')
  await follow(page, 'ada')
  await title(page, 'ada')
  await press(page, 'Add to a group')
  await page.getByRole('textbox', { name: 'Group' }).fill('nothing')
  await inDialog(page, 'Add')
  await alert.getByText('nothing').waitFor()
  await press(page, 'Cancel')
  await follow(page, 'staff')

  await press(page, 'Change roles')
  await page.getByText('This is about 1 member.').waitFor()
  await page.getByRole('textbox', { name: 'Roles' }).fill('editor reviewer')
  const { db } = server.ctx
  await db.sql.updateTable('groups').set({ roles: 'boss' }).execute()
  await inDialog(page, 'Change')
  await alert.getByText('Nothing was overwritten').waitFor()
  t.equal((await findGroup(db, 'staff'))?.roles, 'boss')
  await press(page, 'Look at it')
  await page.getByText('boss').waitFor()
  await press(page, 'Change roles')
  await page.getByRole('textbox', { name: 'Roles' }).fill('editor reviewer')
  await inDialog(page, 'Change')
  await isSaid(page, 'The roles were changed.')
  t.equal((await findGroup(db, 'staff'))?.roles, 'editor reviewer')

  await press(page, 'Delete')
  await page.getByText('This is about 1 member.').waitFor()
  await page.getByLabel('Type staff to confirm').fill('staff')
  await inDialog(page, 'Delete for good')
  await alert.getByText('the group staff has members', { exact: false }).waitFor()
  await press(page, 'Cancel')
  await press(page, 'Take out')
  await inDialog(page, 'Take out')
  await isSaid(page, 'ada is not in staff any more.')
  await page.getByText('Nobody is in this group yet.').waitFor()
  await press(page, 'Delete')
  await page.getByLabel('Type staff to confirm').fill('staff')
  await inDialog(page, 'Delete for good')
  await page.getByText('There are no groups yet.').waitFor()
})

t.test('a claim is declared, changed and deleted, and tokens are explained with it', async t => {
  const page = await openConsole(t, browser, world)
  await follow(page, 'Claims')
  await page.getByText('There are none yet.').waitFor()
  await press(page, 'Add a claim')
  await page.getByLabel('Name').fill('plan')
  await page.getByLabel('Kind').selectOption('number')
  await page.getByLabel('Where its value comes from').selectOption('by the roles of the user')
  await page.getByLabel('Value', { exact: true }).fill('reader = some')
  await inDialog(page, 'Add')
  await page.getByRole('alert').getByText('“some” is no number.').waitFor()
  await page.getByLabel('Value', { exact: true }).fill('reader = 3\nboss = 9')
  await page.getByLabel('Otherwise').fill('1')
  await inDialog(page, 'Add')
  await title(page, 'plan')
  await page.getByText('By roles: reader gives 3, boss gives 9, otherwise 1').waitFor()

  await press(page, 'Change')
  t.equal(await page.getByLabel('Value', { exact: true }).inputValue(), 'reader = 3\nboss = 9')
  const { db } = server.ctx
  await db.sql.updateTable('own_claims').set({ source: '{"constant":7}' }).execute()
  await inDialog(page, 'Change')
  await page.getByRole('alert').getByText('Nothing was overwritten').waitFor()
  await press(page, 'Look at it')
  await page.getByText('Always 7').waitFor()
  await press(page, 'Change')
  await page.getByLabel('Where its value comes from').selectOption('by the roles of the user')
  await page.getByLabel('Value', { exact: true }).fill('reader = 4')
  await inDialog(page, 'Change')
  await isSaid(page, 'The claim was changed.')
  await server.follow()

  await page.goto(`${world.home}/users/${ada.sub}`)
  await follow(page, 'What they say, and why')
  await title(page, 'Explain')
  t.equal(await page.getByLabel('User').inputValue(), 'ada')
  await page.getByLabel('Client').fill('orders')
  await page.getByLabel('Resource').fill('https://api.example')
  await press(page, 'Explain the tokens')
  const claims = page.getByRole('region', { name: 'Access token' }).locator('dl > div')
  await claims.first().waitFor()
  const texts = await claims.allTextContents()
  const told = (name: string) => texts.find(text => text.startsWith(name))
  t.match(told('roles'), /^roles\["reader"\].*resource update --claims.*reader is the user's own/i)
  t.match(told('plan'), /^plan4.*a claim of your own, by roles/i)
  t.match(told('aud'), /"https:\/\/api.example"/)
  await page.reload()
  await claims.first().waitFor()
  t.match(new URL(page.url()).search, 'user=ada&client=orders&resource=', 'it can be sent to somebody')
  await page.getByLabel('Client').fill('nobody')
  await press(page, 'Explain the tokens')
  await page.getByRole('alert').getByText('nobody').waitFor()
  await page.getByLabel('User').fill('ad')
  await press(page, 'Explain the tokens')
  await page.getByRole('alert').getByText('There is no user ad.').waitFor()

  await page.goto(`${world.home}/claims/plan?act=delete`)
  await page.getByLabel('Type plan to confirm').fill('plan')
  await inDialog(page, 'Delete for good')
  await page.getByRole('alert').getByText('https://api.example').waitFor()
  await page.getByLabel('Take it from the resources').check()
  await inDialog(page, 'Delete for good')
  await page.getByText('There are none yet.').waitFor()
})

t.test('a request is explained by its id, as a refusal shows it', async t => {
  const form = { grant_type: 'password', username: 'ada', password: 'x', ...app.form }
  const refused = await server.post('/token', form)
  await runJob(server, 'writing the audit trail')
  const id = String(refused.headers['x-request-id'])
  const page = await openConsole(t, browser, world)
  await follow(page, 'Explain')
  await page.getByRole('textbox', { name: 'Request' }).fill(id)
  await press(page, 'Explain the request')
  const known = page.getByRole('list', { name: `What is known of ${id}` })
  await known.getByText('A log-in was refused').waitFor()
  await page.getByText(`mintmark explain ${id} --log FILE`).waitFor()
  await page.getByRole('textbox', { name: 'Request' }).fill('req-none')
  await press(page, 'Explain the request')
  await page.getByText('The audit trail has nothing of it').waitFor()
})

const file = (name: string, ...lines: readonly string[]) => ({
  name,
  mimeType: '',
  buffer: Buffer.from(lines.map(line => `${line}\n`).join('')),
})

t.test('users are imported from a file, first in a dry run, and each refused entry says why', async t => {
  const names = async () =>
    (await server.ctx.db.sql.selectFrom('users').select('username').execute()).map(({ username }) => username)
  const work = () => runJob(server, 'importing users')
  const page = await openConsole(t, browser, world)
  await follow(page, 'Users')
  await follow(page, 'Import many')
  await page.getByText('Nothing was imported in the last 7 days.').waitFor()
  await press(page, 'Import a file')
  const users = file('users.jsonl', '{"username":"bob"}', '{"username":"BOB"}', '{"username":"ADA"}')
  await page.getByLabel('File').setInputFiles(users)
  await press(page, 'Send the file')
  await title(page, 'Dry run of 57 bytes')
  await page.getByText('0 entries of 3 read so far.').waitFor()
  await work()
  await page.getByText('Done: 1 user would be added, 2 entries refused.').waitFor()
  const refused = page.getByRole('list', { name: 'Refused entries' }).getByRole('listitem')
  await refused.first().waitFor()
  t.match(await refused.allTextContents(), [
    'Entry 2, BOBThere is a user of this name already.',
    'Entry 3, ADAThere is a user of this name already.',
  ])
  t.notOk((await names()).includes('bob'), 'nothing was changed')

  await follow(page, 'Send the file for the import itself')
  await page
    .getByLabel('File')
    .setInputFiles(file('users.csv', 'username,email', 'bob,bob@example.com', 'ada,'))
  await page.getByLabel('Dry run').uncheck()
  await press(page, 'Send the file')
  await title(page, 'Import of 40 bytes')
  await work()
  await page.getByText('Done: 1 user added, 1 entry refused.').waitFor()
  t.ok((await names()).includes('bob'))
  await page.goto(`${world.home}/imports`)
  await page
    .getByRole('list', { name: 'Imports' })
    .getByRole('link', { name: 'Dry run of 57 bytes' })
    .waitFor()

  await press(page, 'Import a file')
  await page.getByLabel('File').setInputFiles(file('users.jsonl'))
  await press(page, 'Send the file')
  await page.getByRole('alert').getByText('The body is empty').waitFor()
  await page.getByLabel('File').setInputFiles(file('users.jsonl', '{"username":"carl"}'))
  await press(page, 'Send the file')
  await press(page, 'Stop')
  await page.getByText('Stopped: 0 entries had read by then').waitFor()
  await work()
  t.notOk((await names()).includes('carl'))
})

t.test('the key policy says what another one would do before it is made', async t => {
  const policy = async () => findInstallation(server.ctx.db)
  const page = await openConsole(t, browser, world)
  await follow(page, 'Keys')
  await follow(page, 'Change the policy')
  await title(page, 'Key policy')
  const rotation = page.getByLabel('A key signs for')
  t.equal(await rotation.inputValue(), '30d')
  await rotation.fill('1m')
  await press(page, 'See what it does')
  await page.getByRole('alert').getByText('This policy cannot work').waitFor()
  await press(page, 'Cancel')
  await rotation.fill('7d')
  await press(page, 'See what it does')
  const dialog = page.getByRole('dialog')
  await dialog.getByText('A key signs for 7 days instead of 30 days.').waitFor()
  await dialog.getByText(/^The next ES256 key signs in 7 days .* instead of in 30 days/).waitFor()
  t.equal((await policy())?.key_rotation_seconds, 30 * 86_400, 'nothing is done yet')
  await server.ctx.db.sql.updateTable('installation').set({ clock_skew_seconds: 90 }).execute()
  await press(page, 'Change it for all servers')
  await page.getByRole('alert').getByText('Nothing was overwritten').waitFor()
  await press(page, 'Look at it')
  await page.locator('dd').getByText('1 minute and 30 seconds').waitFor()
  t.equal((await policy())?.key_rotation_seconds, 30 * 86_400)
  await page.getByLabel('A key signs for').fill('7d')
  await press(page, 'See what it does')
  await press(page, 'Change it for all servers')
  await isSaid(page, 'The policy was changed.')
  t.equal(new URL(page.url()).search, '', 'and nothing is wanted any more')
  await page.locator('dd').getByText('7 days', { exact: true }).waitFor()
  t.match(await policy(), { key_rotation_seconds: 7 * 86_400, clock_skew_seconds: 90 })
})

t.test('by the keyboard alone somebody is put into a group, and its tokens are explained', async t => {
  const page = await openConsole(t, browser, world, { path: '/groups' })
  const focused = async () =>
    (await page.evaluate<string>('document.activeElement.textContent || document.activeElement.name')).trim()
  const tabTo = async (text: string) => {
    for (let i = 0; i < 40 && (await focused()) !== text; i++) await page.keyboard.press('Tab')
    t.equal(await focused(), text, `the keyboard reaches ${text}`)
  }
  await page.getByText('There are no groups yet.').waitFor()
  await tabTo('Add a group')
  await page.keyboard.press('Enter')
  await tabTo('name')
  await page.keyboard.type('crew')
  await page.keyboard.press('Enter')
  await title(page, 'crew')
  t.equal(await focused(), 'crew', 'the new view has the focus')
  await tabTo('Add a member')
  await page.keyboard.press('Enter')
  await tabTo('user')
  await page.keyboard.type('adam')
  await page.keyboard.press('Enter')
  await isSaid(page, 'adam is in crew')
  t.equal(await focused(), 'Add a member', 'the focus is back where it was')
  await page.getByRole('link', { name: 'adam' }).waitFor()
  await tabTo('adam')
  await page.keyboard.press('Enter')
  await title(page, 'adam')
  await tabTo('What they say, and why')
  await page.keyboard.press('Enter')
  await title(page, 'Explain')
  await tabTo('client')
  await page.keyboard.type('orders')
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: 'Access token' }).waitFor()
})

t.test('a client shows its sessions, and an act how many of them it will end', async t => {
  const { id } = await server.client('payments')
  const payments = await server.client('payments-app')
  const page = await openConsole(t, browser, world, { path: `/clients/${id}` })
  await page.getByText('It has no sessions').waitFor()
  for (let i = 0; i < 3; i++) await server.logIn(payments, adam)
  await goTo(page, `${world.home}/clients/payments-app`)
  const sessions = page.getByRole('list', { name: 'Sessions' }).getByRole('listitem')
  await sessions.nth(2).waitFor()
  t.match(await sessions.first().textContent(), /^adamUsed now/)
  await press(page, 'Disable')
  await page.getByRole('dialog').getByText('This ends 3 sessions.').waitFor()
  await press(page, 'Cancel')
  await press(page, 'End all sessions')
  await page.getByRole('dialog').getByText('This ends 3 sessions.').waitFor()
  await inDialog(page, 'End them')
  await isSaid(page, 'All sessions of the client have ended.')
  await page.getByText('It has no sessions').waitFor()
  await goTo(page, `${world.home}/sessions?act=end-many`)
  await page.getByRole('dialog').getByLabel('Sessions').selectOption('every session there is')
  await page.getByText(/^This ends \d+ sessions\.$/).waitFor()
  await page.getByRole('dialog').getByLabel('Sessions').selectOption('begun more than so many days ago')
  await page.getByText('This ends 0 sessions.').waitFor()
})

t.test('a stream of events is made, paused, verified, changed by two, and deleted', async t => {
  const { id } = await server.client('billing', { introspects: 'https://api.example' })
  const page = await openConsole(t, browser, world)
  await follow(page, 'Event streams')
  await page.getByText('There are none yet.').waitFor()
  await page.getByText('mintmark stream create --client ID').waitFor()
  await press(page, 'Add a stream')
  await page.getByLabel('Client').fill('orders')
  await inDialog(page, 'Add')
  const alert = page.getByRole('alert')
  await alert.getByText('the client orders serves no API', { exact: false }).waitFor()
  await page.getByLabel('Client').fill(id)
  await page.getByLabel('Address').fill('http://10.0.0.1/events')
  await page.getByLabel('Authorization').fill('Bearer of-billing')
  await inDialog(page, 'Add')
  await alert.getByText('push', { exact: false }).first().waitFor()
  await page.getByLabel('Address').fill('https://billing.example/events')
  await page.getByLabel('Description').fill('Billing')
  await page.getByLabel('assurance-level-change').uncheck()
  await inDialog(page, 'Add')
  await title(page, 'Billing')
  const { db } = server.ctx
  const row = async () => db.sql.selectFrom('streams').selectAll().executeTakeFirstOrThrow()
  t.match(await row(), { client_id: id, audience: id, endpoint_url: 'https://billing.example/events' })
  t.ok((await row()).sealed_authorization)
  t.notMatch(await page.content(), /of-billing/, 'its Authorization is never shown again')
  const fact = (name: string, value: string) =>
    page.locator('dl > div', { hasText: name }).locator('dd', { hasText: value }).waitFor()
  await fact('Pushes have an Authorization', 'yes')
  await fact('It is told of', 'session-revoked, credential-change, account-disabled')

  await press(page, 'Pause')
  await page.getByLabel('Reason').fill('They move house')
  await inDialog(page, 'Pause')
  await isSaid(page, 'The stream is paused.')
  await page.getByText('held for a week, and delivered when it goes on. They move house').waitFor()
  await follow(page, 'Event streams')
  await page.getByRole('list', { name: 'Streams' }).getByText('paused').waitFor()
  await follow(page, 'Billing')
  await press(page, 'Go on')
  await db.sql.updateTable('streams').set({ description: 'Bills' }).execute()
  await inDialog(page, 'Go on')
  await alert.getByText('Nothing was overwritten').waitFor()
  t.equal((await row()).status, 'paused')
  await press(page, 'Look at it')
  await title(page, 'Bills')
  await press(page, 'Go on')
  await inDialog(page, 'Go on')
  await isSaid(page, 'The stream goes on.')
  await press(page, 'Send a verification')
  await inDialog(page, 'Send it')
  await isSaid(page, 'It is on its way.')

  await press(page, 'Change')
  t.equal(await page.getByLabel('Address').inputValue(), 'https://billing.example/events')
  t.notOk(await page.getByLabel('assurance-level-change').isChecked())
  await page.getByLabel('Description').fill('')
  await page.getByLabel('assurance-level-change').check()
  await inDialog(page, 'Change')
  await isSaid(page, 'The stream was changed.')
  await title(page, 'Stream of billing')
  t.match(await row(), { description: null, events_requested: null })
  t.ok((await row()).sealed_authorization, 'what was left empty has stayed')
  await press(page, 'Delete')
  await inDialog(page, 'Delete for good')
  await page.getByText('There are none yet.').waitFor()
})

t.test('a client is given public keys instead of its secret', async t => {
  const { id } = await server.client('worker')
  const page = await openConsole(t, browser, world, { path: `/clients/${id}` })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await press(page, 'Keys instead')
  await page.getByLabel('JWKS', { exact: true }).fill('{"keys":')
  await inDialog(page, 'Set them')
  await page.getByRole('alert').getByText('These are no keys').waitFor()
  const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] }
  await page.getByLabel('JWKS', { exact: true }).fill(JSON.stringify(jwks))
  await inDialog(page, 'Set them')
  await isSaid(page, 'The client has these keys now.')
  await page.getByText('private_key_jwt').first().waitFor()
  await press(page, 'Other keys')
  t.match(await page.getByLabel('JWKS', { exact: true }).inputValue(), /"kid": "one"/)
})

t.test('who may only help sees groups, and is led to nothing that is refused', async t => {
  await server.logIn(app, adam)
  const sue = await server.user('sue', 'mintmark:support')
  const page = await openConsole(t, browser, world, { user: sue })
  const refused: string[] = []
  page.on('response', response => void (response.status() === 403 && refused.push(response.url())))
  const links = async () =>
    page.evaluate<string[]>(
      "[...document.querySelectorAll('a[href]')].map(link => link.pathname + link.search)",
    )
  // One of each kind.
  const kindOf = (path: string) => path.replace(/[0-9a-f-]{36}|(?<=groups\/).+/g, 'X')
  const visited = new Map<string, string>()
  await isSettled(page)
  const toVisit = await links()
  for (const path of toVisit) {
    if (visited.has(kindOf(path)) || !path.startsWith('/console')) continue
    visited.set(kindOf(path), path)
    await goTo(page, path)
    await page.locator('main h1').waitFor()
    await isSettled(page)
    toVisit.push(...(await links()))
  }
  t.strictSame(refused, [])
  const kinds = [...visited.keys()]
  for (const kind of ['users/X', 'groups/X', 'sessions/X', 'leaked/user'])
    t.ok(kinds.includes(`/console/${kind}`), `it came to ${kind}`)
  t.strictSame(
    kinds.filter(kind => /\/(clients|resources|claims|keys|explain|audit|imports|streams)/.test(kind)),
    [],
  )
  await page.goto(`${world.home}/groups/crew`)
  await page.getByRole('link', { name: 'adam' }).waitFor()
  t.equal(await page.locator('main').getByRole('button').count(), 0, 'nothing is offered that is not allowed')
})

t.test('under an issuer with a path every address of the console is below it', async t => {
  const world = await consoleWorld(t, {}, { issuerPath: '/auth' })
  const counted = { seconds: 60, at: Math.floor(Date.now() / 60_000) * 60 - 600, counted: '{"log_ins":1}' }
  await world.server.ctx.db.sql
    .insertInto('counts')
    .values({ ...counted, id: randomBytes(8) })
    .execute()
  const ada = await world.server.user('ada')
  const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}` })
  const outside: string[] = []
  page.on('request', request => {
    const { pathname } = new URL(request.url())
    if (!pathname.startsWith('/auth/')) outside.push(pathname)
  })
  t.equal(page.url(), `${world.issuer}/console/users/${ada.sub}`)
  await page.reload()
  await title(page, 'ada')
  await press(page, 'Disable')
  await inDialog(page, 'Disable')
  await isSaid(page, 'ada is disabled')
  t.ok(await page.evaluate("document.querySelector('header img').naturalWidth > 0"), 'the logo is there')
  for (const [name, heading] of [
    ['Groups', 'Groups'],
    ['Keys', 'Signing keys'],
    ['What happened', 'What happened'],
    ['Overview', 'Overview'],
  ] as const) {
    await follow(page, name)
    await title(page, heading)
    await isSettled(page)
  }
  await page.locator('.plot .u-over').first().waitFor()
  await follow(page, 'What happened')
  await page.getByText('Live: new entries appear by themselves.').waitFor()
  await page.goto(`${world.home}/groups?act=create`)
  await title(page, 'Groups')
  await press(page, 'Cancel')
  await press(page, 'Log out')
  await page.waitForURL(`${world.issuer}/log-in?*`)
  t.strictSame(outside, [])
})

t.test('axe finds nothing in these views, light or dark, and each fits on a small screen', async t => {
  await server.ctx.db.sql
    .insertInto('own_claims')
    .values({
      name: 'https://example.com/claims/a-name-that-is-really-quite-long',
      kind: 'array',
      source: JSON.stringify({ groups: { 'a-group-with-a-long-name-too': 'value' } }),
      created_at: 1,
    })
    .execute()
  const claim = 'https://example.com/claims/a-name-that-is-really-quite-long'
  const job = await server.ctx.db.sql
    .selectFrom('jobs')
    .select('id')
    .where('refused', '>', 0)
    .executeTakeFirst()
  const id = job?.id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') ?? ''
  const caller = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
  const admin = servedAdmin(server.ctx, caller, server.ctx.log)
  const push = 'https://billing.example/a-rather-long-way-to-its-events'
  const stream = await createStream(admin, { clientId: 'billing', push })
  const streamPath = `/streams/${describeStream(admin, stream).stream_id}`
  const explained = `user=ada&client=orders&resource=${encodeURIComponent('https://api.example')}`
  await axeFindsNothingIn(t, browser, world, [
    ['/groups', 'Groups'],
    ['/groups?act=create', 'Groups'],
    ['/groups/crew', 'crew'],
    ['/groups/crew?act=delete', 'crew'],
    [`/groups/crew?act=remove-${adam.sub}`, 'crew'],
    ['/claims', 'Claims of your own'],
    ['/claims?act=create', 'Claims of your own'],
    [`/claims/${encodeURIComponent(claim)}`, claim],
    [`/claims/${encodeURIComponent(claim)}?act=change`, claim],
    ['/explain', 'Explain'],
    [`/explain?${explained}`, 'Explain'],
    ['/explain?request=req-none', 'Explain'],
    ['/imports', 'Imports'],
    ['/imports?act=import', 'Imports'],
    [`/imports/${id}`, 'Dry run of 57 bytes'],
    ['/streams', 'Event streams'],
    ['/streams?act=create', 'Event streams'],
    [streamPath, 'Stream of billing'],
    [`${streamPath}?act=change`, 'Stream of billing'],
    ['/clients/worker?act=keys', 'worker'],
    ['/keys/policy', 'Key policy'],
    ['/keys/policy?key_rotation_seconds=20d&act=policy', 'Key policy'],
  ])
})

t.test('personal access tokens', t => testTokens(t, browser))

t.test('registration tokens and trusted issuers', t => testMachines(t, browser))
