import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { createToken, endToken } from '../../src/admin/personal-tokens.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { axeFindsNothingIn } from '../helpers/console-axe.ts'
import { consoleWorld, isSaid, openConsole, press, title } from '../helpers/console.ts'
import { personalToken } from '../helpers/personal-tokens.ts'

const api = 'https://api.example'

/** The personal access tokens of a user, and the resource that takes them. */
export async function testTokens(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const gateway = await server.client('gateway', { introspects: api })
  await server.resource(api, { scope: 'read write' })
  const tokens = (page: Page) => page.getByRole('list', { name: 'Personal access tokens' })
  const inDialog = (page: Page, name: string) =>
    page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
  const isActive = async (text: string) => (await server.introspect(gateway, text))['active']

  await t.test('a resource takes them once that is switched on', async t => {
    const page = await openConsole(t, browser, world, { path: `/resources/${encodeURIComponent(api)}` })
    await page.getByText('it takes none').waitFor()
    await press(page, 'Change')
    await page.getByLabel('Personal access tokens').check()
    await inDialog(page, 'Change')
    await isSaid(page, 'The resource was changed.')
    await page.getByText('people make them for it').waitFor()
    await server.follow()
  })

  await t.test('those of a user are seen and ended, also where somebody else is at it', async t => {
    const [nightly, second, third] = [
      await personalToken(server, ada, { name: 'nightly' }),
      await personalToken(server, ada, { name: '<b>second</b>' }),
      await personalToken(server, ada, { name: 'third' }),
    ]
    const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}` })
    await tokens(page).getByText(`For ${api}, with read. Used never`).first().waitFor()
    t.equal(await tokens(page).getByRole('listitem').count(), 3)
    await press(page, 'End <b>second</b>')
    await page.getByRole('dialog').getByText(`Whatever calls ${api} with it is refused`).waitFor()
    t.equal(await isActive(second.text), true, 'not before it is confirmed')
    await inDialog(page, 'End it')
    await isSaid(page, 'The token “<b>second</b>” has ended.')
    t.strictSame([await isActive(nightly.text), await isActive(second.text)], [true, false])
    await page.getByRole('button', { name: 'End <b>second</b>' }).waitFor({ state: 'detached' })
    t.equal(await tokens(page).getByRole('listitem').count(), 2)

    await press(page, 'End third')
    const caller = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
    const admin = servedAdmin(server.ctx, caller, server.ctx.log)
    await endToken(admin, 'ada', third.sessionId)
    await inDialog(page, 'End it')
    await page.getByRole('alert').getByText('ada has no such token that lives').waitFor()
    await press(page, 'Cancel')
    const scope = ['write']
    await createToken(admin, { user: 'ada', name: 'by command', resource: api, scope, seconds: 86_400 })
    await page.reload()
    await press(page, 'End all tokens')
    await page.getByRole('dialog').getByText('This ends 2 tokens.').waitFor()
    await inDialog(page, 'End them')
    await isSaid(page, '2 tokens of ada ended.')
    t.equal(await isActive(nightly.text), false)
    await page.getByText('There are none.').waitFor()
    await title(page, 'ada')
  })

  await t.test('who may only help sees and ends them', async t => {
    const { text } = await personalToken(server, ada, { name: 'lost laptop' })
    const sue = await server.user('sue', 'mintmark:support')
    const page = await openConsole(t, browser, world, { user: sue, path: `/users/${ada.sub}` })
    const refused: string[] = []
    page.on('response', response => void (response.status() === 403 && refused.push(response.url())))
    await tokens(page).getByRole('link', { name: 'lost laptop' }).click()
    await page.getByText('a personal access token', { exact: true }).waitFor()
    await press(page, 'End it')
    await page.getByRole('dialog').getByText('It is a personal access token: whatever calls').waitFor()
    await inDialog(page, 'End it')
    await isSaid(page, 'The session has ended.')
    t.equal(await isActive(text), false)
    t.strictSame(refused, [])
  })

  await t.test('axe finds nothing in it', async t => {
    const long = { name: 'the-name-of-a-token-that-is-really-quite-long-and-has-no-place-to-break-it' }
    await personalToken(server, ada, long)
    const { sessionId } = await personalToken(server, ada)
    const id = sessionId.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    await axeFindsNothingIn(t, browser, world, [
      [`/users/${ada.sub}`, 'ada'],
      [`/users/${ada.sub}?act=end-tokens`, 'ada'],
      [`/users/${ada.sub}?act=end-token-${id}`, 'ada'],
      [`/leaked/token?sid=${id}`, 'A token has leaked'],
    ])
  })
}
