import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { chromium, type Browser } from 'playwright-core'
import type { Test } from 'tap'
import { bareEnv } from './bare-env.ts'

const modules = join(import.meta.dirname, '../../node_modules')

const started = new WeakMap<object, Promise<Browser>>()

/**
 * Starts the Chromium that npm has installed, which needs nothing of the system; once for each test that it
 * is started with, after which it is closed: with its root test, once in a process. Each
 * `browser.newContext()` has cookies of its own.
 */
export function startChromium(t: Pick<Test, 'teardown'>): Promise<Browser> {
  const browser = started.get(t) ?? start(t)
  started.set(t, browser)
  return browser
}

async function start(t: Pick<Test, 'teardown'>): Promise<Browser> {
  const folder = await unpackedChromium()
  const browser = await chromium.launch({
    executablePath: join(folder, 'chromium'),
    // It is no whole browser, but what runs without a screen. A container has little shared memory. A machine
    // without a GPU would be given one by software, which draws the same more slowly.
    args: ['--headless=shell', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
    env: {
      ...bareEnv,
      HOME: folder,
      // Its own fonts alone, so that pages look the same everywhere.
      FONTCONFIG_PATH: join(folder, 'fonts'),
      LD_LIBRARY_PATH: join(folder, 'al2023/lib'),
    },
  })
  t.teardown(() => browser.close())
  return browser
}

/**
 * The folder of the binary and its fonts, beside what npm has installed, and gone with it. The package would
 * unpack into the folder for temporary files, where another version may lie, or half of one.
 */
async function unpackedChromium(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(modules, '@sparticuz/chromium/package.json'), 'utf8'))
  const folder = join(modules, `.cache/chromium-${version}`)
  if (existsSync(folder)) return folder
  const draft = `${folder}-${process.pid}`
  mkdirSync(draft, { recursive: true })
  const unpack = `import chromium from '@sparticuz/chromium'; await chromium.executablePath()`
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', unpack], {
    cwd: import.meta.dirname,
    // Only for this platform it unpacks the libraries that a system may lack.
    env: { ...bareEnv, TMPDIR: draft, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' },
  })
  // The package's own names places that are nowhere but at a cloud's, and without a font Chromium crashes.
  writeFileSync(join(draft, 'fonts/fonts.conf'), fontsAt(folder))
  try {
    renameSync(draft, folder)
  } catch {
    rmSync(draft, { recursive: true }) // another test file was first
  }
  return folder
}

const fontsAt = (folder: string) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}/fonts/fonts</dir>
  <cachedir>${folder}/fonts/cache</cachedir>
</fontconfig>
`

/** Whether the console says only that a test has typed before the browser had set its focus. */
export const isHaste = (text: string): boolean => text.startsWith('Autofocus processing was blocked')
