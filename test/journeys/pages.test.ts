import type { Browser, BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { languageTags } from '../../src/pages/language.ts'
import { violationsIn, type Sight } from '../helpers/axe.ts'
import { isHaste, startChromium } from '../helpers/chromium.ts'
import { startGallery, type Gallery } from '../helpers/gallery.ts'
import { isInFull, isTurn } from '../helpers/runs.ts'

const browser = await startChromium(t)

/** A page of the browser which has noted whatever it complained of, and whatever it asked for. */
interface Watched {
  readonly page: Page
  readonly complaints: readonly string[]
  readonly requests: string[]
}

async function watchedPage(t: Test, options: Parameters<Browser['newContext']>[0] = {}): Promise<Watched> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  return watch(context)
}

async function watch(context: BrowserContext): Promise<Watched> {
  const page = await context.newPage()
  const complaints: string[] = []
  const requests: string[] = []
  page.on('console', message => isHaste(message.text()) || complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('request', request => requests.push(request.url()))
  return { page, complaints, requests }
}

/**
 * Without the page of which the script leads away; and, but in test:long, with a few of the messages, which
 * are alike but for their texts.
 */
function staying({ names }: Gallery): readonly string[] {
  const few = /^message-(unavailable|redirect_uri_unregistered|logged_out|with-detail)$/
  return names.filter(
    name => name !== 'form-post' && (isInFull || !name.startsWith('message-') || few.test(name)),
  )
}

function onSmallScreen(html: string, colorScheme: Sight['colorScheme']): Sight {
  return { html, width: 320, height: 640, colorScheme }
}

const looks: readonly Record<string, string>[] = [
  {},
  { MINTMARK_NAME: 'Gelb & Söhne', MINTMARK_COLOR: '#ffd400' },
  { MINTMARK_NAME: 'Schwarz', MINTMARK_COLOR: '#000' },
  { MINTMARK_COLOR: '#fff' },
]

t.test('axe finds nothing on any page, in any language and look, light or dark', async t => {
  for (const [i, env] of looks.entries()) {
    const gallery = await startGallery(t, env)
    for (const [way, colorScheme] of (['light', 'dark'] as const).entries()) {
      for (const [place, name] of staying(gallery).entries()) {
        // The texts are the same in every look.
        if (i === 0 && !isTurn(place, way, 2)) continue
        if (i > 0 && !/^(log-in-wrong|consent|message-unavailable)$/.test(name)) continue
        // Light and dark share the languages between them.
        const languages = languageTags.filter((_, place) => place % 2 === (colorScheme === 'light' ? 0 : 1))
        for (const language of languages) {
          const served = await fetch(`${gallery.origin}/plain/${name}?ui_locales=${language}`)
          t.strictSame(
            await violationsIn(browser, onSmallScreen(await served.text(), colorScheme)),
            [],
            `${name} in ${language}, ${colorScheme}, ${JSON.stringify(env)}`,
          )
        }
      }
    }
  }
})

t.test('axe would have said what is wrong, and in which colours', async t => {
  const { origin } = await startGallery(t)
  const html = await (await fetch(`${origin}/plain/log-in`)).text()
  const rulesOf = async (pale: string, colorScheme: Sight['colorScheme']) =>
    (
      await violationsIn(
        browser,
        onSmallScreen(html.replace('</h1>', ` <i style="color:${pale}">Hi</i></h1>`), colorScheme),
      )
    ).map(([rule]) => rule)
  t.strictSame(await rulesOf('#eee', 'light'), ['color-contrast'])
  t.strictSame(await rulesOf('#eee', 'dark'), [])
  t.strictSame(await rulesOf('#111', 'dark'), ['color-contrast'])
})

t.test('invariant 18: a page is one request and its logo, and violates none of its own policy', async t => {
  const folder = t.testdir({ 'logo.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"/>' })
  for (const [way, env] of [{}, { MINTMARK_LOGO_FILE: `${folder}/logo.svg` }].entries()) {
    const gallery = await startGallery(t, env)
    const { page, complaints, requests } = await watchedPage(t)
    for (const [place, name] of staying(gallery).entries()) {
      if (!isTurn(place, way, 2)) continue
      requests.splice(0)
      await page.goto(`${gallery.origin}/plain/${name}`)
      const others = requests.slice(1).filter(url => !url.startsWith(`${gallery.origin}/logo?v=`))
      t.strictSame(others, [], name)
      t.equal(requests[0], `${gallery.origin}/plain/${name}`)
      t.equal(
        await page.evaluate('getComputedStyle(document.querySelector("main")).borderTopStyle'),
        'solid',
        'its style counts',
      )
    }
    t.strictSame(complaints, [])
    await page.goto(`${gallery.origin}/plain/log-in`)
    const styled = page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<i style="color:red"></i>')`)
    await styled
    t.ok(complaints.length > 0, 'the browser would have said it')
  }
})

t.test(
  'at 320 pixels, and with letters twice as large, nothing is cut off or needs a scroll to the side',
  async t => {
    const gallery = await startGallery(t)
    const { page } = await watchedPage(t, { viewport: { width: 320, height: 640 }, bypassCSP: true })
    for (const kind of isInFull ? ['plain', 'long'] : ['long']) {
      for (const [place, name] of staying(gallery).entries()) {
        if (!isTurn(place, 0, 2)) continue
        await page.goto(`${gallery.origin}/${kind}/${name}?ui_locales=de`)
        const widths = await page.evaluate(`['16px', '32px'].map(size => {
        document.documentElement.style.fontSize = size
        return document.documentElement.scrollWidth
      })`)
        t.strictSame(widths, [320, 320], `${kind} ${name}`)
      }
    }
  },
)

t.test('RA-11 no name of a member pushes a value out of the window', async t => {
  const gallery = await startGallery(t)
  for (const width of [1280, 390]) {
    const { page } = await watchedPage(t, { viewport: { width, height: 640 } })
    for (const name of ['consent-details', 'account-apps']) {
      await page.goto(`${gallery.origin}/plain/${name}`)
      const beyond = await page.evaluate<number[]>(`Array.from(
        document.querySelectorAll('dd, dt, bdi'),
        part => part.getBoundingClientRect().right - document.querySelector('main').getBoundingClientRect().right,
      )`)
      t.ok(beyond.length > 20)
      t.strictSame(
        beyond.filter(pixels => pixels > 0),
        [],
        `${name} at ${width}`,
      )
    }
  }
})

t.test('whatever is pressed is 44 pixels high, and shows where the focus is', async t => {
  const gallery = await startGallery(t)
  const { page } = await watchedPage(t, { viewport: { width: 320, height: 640 } })
  for (const [place, name] of staying(gallery).entries()) {
    if (!isTurn(place, 1, 2)) continue
    await page.goto(`${gallery.origin}/plain/${name}`)
    await page.evaluate('for (const folded of document.querySelectorAll("details")) folded.open = true')
    const heights = await page.evaluate<number[]>(`Array.from(
      document.querySelectorAll(
        'main button, main .act, .go, input:not([type=hidden], [type=checkbox]), label.check',
      ),
      target => target.getBoundingClientRect().height,
    )`)
    for (const height of heights) t.ok(height >= 44, `${name}: ${height}`)
    // Behind a key, whatever is focused is focused as by a key.
    await page.keyboard.press('Tab')
    const outlines = await page.evaluate<string[]>(`Array.from(
      document.querySelectorAll('a, button, input:not([type=hidden])'),
      target => {
        target.focus()
        return target === document.activeElement ? getComputedStyle(target).outline : 'not focused'
      },
    )`)
    for (const outline of outlines) t.match(outline, 'solid 3px', name)
  }
})

t.test('the keyboard leads through a page in its order, and begins where somebody has to type', async t => {
  const { origin } = await startGallery(t)
  const { page } = await watchedPage(t)
  const focused = () =>
    page.evaluate('(document.activeElement.name || document.activeElement.textContent).trim()')
  const walk = async (path: string, expected: readonly string[]) => {
    await page.goto(origin + path)
    // It is there a moment after the page has been loaded.
    await page.locator('[autofocus]:focus').waitFor()
    const seen = [await focused()]
    for (let i = 1; i < expected.length; i++) {
      await page.keyboard.press('Tab')
      seen.push(await focused())
    }
    t.strictSame(seen, expected, path)
  }
  await walk('/plain/log-in', ['username', 'password', 'stay', 'Log in', 'Log in with a passkey', 'decision'])
  await walk('/plain/log-in-wrong', ['password', 'stay', 'Log in', 'Log in with a passkey', 'decision'])
  await walk('/plain/log-in-again', [
    'password',
    'stay',
    'Log in',
    'Log in with a passkey',
    'decision',
    'Use another account',
  ])
  await page.goto(`${origin}/plain/consent`)
  for (const expected of ['orders.example', 'decision', 'decision', 'Use another account']) {
    await page.keyboard.press('Tab')
    t.equal(await focused(), expected)
  }
})

t.test('a screen reader is told what each thing is', async t => {
  const { origin } = await startGallery(t)
  const { page } = await watchedPage(t)
  await page.goto(`${origin}/plain/log-in-wrong`)
  t.match(await page.title(), /^Problem: Log in – /)
  t.match(await page.getByRole('alert').textContent(), 'The user name or the password is not right')
  t.equal(await page.getByRole('textbox', { name: 'User name' }).inputValue(), 'ada')
  t.equal(await page.getByLabel('Password').getAttribute('aria-describedby'), 'problem')
  t.equal(await page.getByRole('checkbox', { name: 'Keep me logged in on this device' }).count(), 1)
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Log in to continue to Orders')
  await page.goto(`${origin}/plain/consent`)
  t.equal(
    await page.getByRole('list', { name: 'If you allow it, the app may:' }).getByRole('listitem').count(),
    5,
  )
  t.equal(await page.getByRole('main').count(), 1)
})

t.test('an answer by form goes to the client by itself, and by its button where no scripts run', async t => {
  const { origin } = await startGallery(t)
  for (const javaScriptEnabled of [true, false]) {
    const { page, complaints } = await watchedPage(t, { javaScriptEnabled })
    const posted: (string | null)[] = []
    await page.route('https://orders.example/**', route => {
      posted.push(route.request().method(), route.request().postData())
      return route.fulfill({ contentType: 'text/html', body: '<title>Arrived</title>' })
    })
    await page.goto(`${origin}/form-post`)
    if (!javaScriptEnabled) {
      t.match(await page.title(), 'One moment')
      await page.getByRole('button', { name: 'Continue' }).click()
    }
    await page.waitForURL('https://orders.example/callback')
    t.strictSame(posted, [
      'POST',
      'code=mm_ac_1&state=%22%3E%3C%2Fform%3E%26amp%3B&iss=https%3A%2F%2Fas.example',
    ])
    t.strictSame(complaints, [])
  }
})

t.test(
  'our own pages send a form with their origin, and lead to others without saying where from',
  async t => {
    const { origin } = await startGallery(t)
    const { page } = await watchedPage(t)
    const seen: Record<string, string>[] = []
    await page.route(/:\d+\/log-in$|orders\.example/, async route => {
      seen.push(await route.request().allHeaders())
      return route.fulfill({ contentType: 'text/html', body: '<title>Arrived</title>' })
    })
    await page.goto(`${origin}/plain/log-in`)
    await page.getByLabel('User name').fill('ada')
    await page.getByLabel('Password').fill('secret')
    await page.keyboard.press('Enter')
    await page.waitForURL(`${origin}/log-in`)
    t.equal(seen[0]?.['origin'], origin)
    await page.goto(`${origin}/plain/message-request_expired`)
    await page.getByRole('link', { name: 'Back to Orders' }).click()
    await page.waitForURL('https://orders.example/**')
    t.equal(seen[1]?.['referer'], undefined)
  },
)

t.test('who wants less motion gets none, and who wants other colours gets those', async t => {
  const { origin } = await startGallery(t)
  const durationOf = async (reducedMotion: 'reduce' | 'no-preference') => {
    const { page } = await watchedPage(t, { reducedMotion })
    await page.goto(`${origin}/plain/log-in`)
    return page.evaluate('getComputedStyle(document.querySelector("button")).transitionDuration')
  }
  t.equal(await durationOf('reduce'), '0s')
  t.match(await durationOf('no-preference'), '0.12s')
  const { page } = await watchedPage(t, { forcedColors: 'active' })
  await page.goto(`${origin}/plain/log-in`)
  t.equal(await page.evaluate('getComputedStyle(document.querySelector("button")).borderTopStyle'), 'solid')
})
