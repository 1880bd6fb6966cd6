import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { changeTrustedIssuer, listTrustedIssuers } from '../../db/clients/trusted-issuers.ts'
import { axeFindsNothingIn } from '../helpers/console-axe.ts'
import { consoleWorld, isSaid, openConsole, press, title } from '../helpers/console.ts'
import { testKey } from '../helpers/proofs.ts'

const url = 'https://ci.example/oidc'
const issuerPath = `/issuers/${encodeURIComponent(url)}`

/** What lets programs in that have no secret yet: registration tokens, and trusted issuers. */
export async function testMachines(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t, { MINTMARK_CLIENT_REGISTRATION: 'token' })
  const { server } = world
  await server.client('deploy')
  const inDialog = (page: Page, name: string) =>
    page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
  const follow = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).click()

  await t.test('a registration token is made, shown once, and ended', async t => {
    const page = await openConsole(t, browser, world)
    await follow(page, 'Clients')
    await follow(page, 'Registration tokens')
    await page.getByText('There are none.').waitFor()
    await press(page, 'Make a token')
    await page.getByLabel('For whom').fill('Notes team')
    await page.getByLabel('Clients').fill('1')
    await inDialog(page, 'Make it')
    const secret = page.locator('.secret')
    await secret.getByText('nothing of it is stored').waitFor()
    const token = (await secret.locator('code').textContent()) ?? ''
    await inDialog(page, 'Close')
    const row = page.getByRole('list', { name: 'Registration tokens' }).getByRole('listitem')
    await row.getByText('0 of 1 client made').waitFor()
    t.notOk((await page.content()).includes(token))
    const register = () =>
      server.request({
        method: 'POST',
        url: '/register',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        payload: JSON.stringify({ redirect_uris: ['https://agent.example/callback'] }),
      })
    t.equal((await register()).statusCode, 201)
    await page.reload()
    await row.getByText('used up').waitFor()
    await press(page, 'End Notes team')
    await page.getByRole('dialog').getByText('The 1 client that it has made stay').waitFor()
    await inDialog(page, 'End it')
    await isSaid(page, 'The registration token Notes team has ended.')
    await page.getByText('There are none.').waitFor()
    t.equal((await register()).statusCode, 401)
  })

  await t.test('an issuer is trusted, names clients, is changed, and is trusted no more', async t => {
    const page = await openConsole(t, browser, world, { path: '/clients' })
    const { db } = server.ctx
    const alert = page.getByRole('alert')
    const row = async () => (await listTrustedIssuers(db))[0]
    await follow(page, 'Trusted issuers')
    await page.getByText('None is trusted.').waitFor()
    await press(page, 'Trust an issuer')
    await page.getByText('Where it publishes its keys; empty where its metadata say so').waitFor()
    await page.getByRole('textbox', { name: 'Issuer' }).fill(`${url}?x=1`)
    await page
      .getByLabel('JWKS', { exact: true })
      .fill(JSON.stringify({ keys: [(await testKey()).publicJwk] }))
    await inDialog(page, 'Trust it')
    await alert.waitFor()
    await page.getByRole('textbox', { name: 'Issuer' }).fill(url)
    await inDialog(page, 'Trust it')
    await title(page, url)
    await page.getByText('It names no client yet.').waitFor()

    await press(page, 'Add a subject')
    await page.getByRole('textbox', { name: 'Subject' }).fill('repo:acme/*:ref:refs/heads/main')
    await page.getByLabel('It is a pattern').check()
    await page.getByRole('textbox', { name: 'Client' }).fill('nobody')
    await page.getByRole('textbox', { name: 'Claims' }).fill('repository_id=74')
    await inDialog(page, 'Add')
    await alert.getByText('nobody', { exact: false }).waitFor()
    await page.getByRole('textbox', { name: 'Client' }).fill('deploy')
    await inDialog(page, 'Add')
    const subjects = page.getByRole('list', { name: 'Subjects' }).getByRole('listitem')
    await subjects.getByText('where repository_id=74').waitFor()
    t.match(JSON.parse((await row())?.subjects ?? ''), [
      { subject: null, subject_pattern: 'repo:acme/*:ref:refs/heads/main', client: 'deploy', user: null },
    ])

    await press(page, 'Change')
    await page.getByLabel('Reusable').check()
    const found = await row()
    if (!found) return t.fail('it is there')
    const { issuer: _, created_at: __, ...settings } = found
    t.ok(await changeTrustedIssuer(db, found, { ...settings, audience: 'https://other.example' }))
    await inDialog(page, 'Change')
    await alert.getByText('Nothing was overwritten').waitFor()
    await press(page, 'Look at it')
    await page.getByText('https://other.example').waitFor()
    await press(page, 'Change')
    await page.getByLabel('Reusable').check()
    await inDialog(page, 'Change')
    await isSaid(page, 'The issuer was changed.')
    await page.getByText('as often as it is sent').waitFor()
    t.match(await row(), { is_reusable: 1, audience: 'https://other.example' })

    await press(page, 'Take out')
    await inDialog(page, 'Take it out')
    await page.getByText('It names no client yet.').waitFor()
    await press(page, 'Trust it no more')
    await inDialog(page, 'Trust it no more')
    await page.getByText('None is trusted.').waitFor()
    t.strictSame(await listTrustedIssuers(db), [])
  })

  await t.test('axe finds nothing in it', async t => {
    const subjects = [
      { subject: 'repo:acme/a-repository-with-a-name-that-is-really-quite-long', client: 'deploy' },
    ].map(one => ({ ...one, subject_pattern: null, claims: { environment: 'production' }, user: null }))
    const keys = { audience: null, jwks: null, jwks_uri: null, life_max_seconds: null, is_reusable: 0 }
    await server.ctx.db.sql
      .insertInto('trusted_issuers')
      .values({ issuer: url, ...keys, subjects: JSON.stringify(subjects), created_at: 1 })
      .execute()
    const id = Buffer.alloc(16, 7)
    const token = { clients_max: 2, clients_made: 2, created_at: 1, expires_at: 2 }
    const name = 'a-team-with-a-name-that-is-really-quite-long-and-does-not-break'
    await server.ctx.db.sql
      .insertInto('registration_tokens')
      .values({ id, name, ...token })
      .execute()
    await axeFindsNothingIn(t, browser, world, [
      ['/registration-tokens', 'Registration tokens'],
      ['/registration-tokens?act=create', 'Registration tokens'],
      ['/issuers', 'Trusted issuers'],
      ['/issuers?act=create', 'Trusted issuers'],
      [issuerPath, url],
      [`${issuerPath}?act=add`, url],
      [`${issuerPath}?act=remove-0`, url],
    ])
  })
}
