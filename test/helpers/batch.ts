import './untracked-promises.ts'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isQuick, notQuick } from './runs.ts'

const tests = join(import.meta.dirname, '..')

/**
 * Which folders are dealt out to how many batches. Their tests leave nothing behind in the process, so that
 * many files can share one: its modules, its databases and its browser.
 */
const groups = [
  // First, since these wait a lot, and leave the cores to the others.
  { folders: ['fuzz', 'postgres', 'processes'], batches: 2 },
  { folders: ['model', 'pure', 'server'], batches: isQuick ? 2 : 3 },
  { folders: ['journeys'], batches: 2 },
]

/**
 * `npm run test:quick` is for the change at hand, and leaves these files to `npm test`: they take long, and
 * turn red where somebody works on their very subject, or with others that are done between two changes.
 */
const leftToNpmTest: ReadonlySet<string> = new Set(
  Object.entries({
    model: ['key-life'],
    pure: ['imported-hashes', 'known-tokens'],
    server: [
      // How long an answer takes, for whom.
      ...['imported-names', 'log-in-timing', 'recovery-timing', 'verifiers'],
      // How much there may be: of load, guesses, rows, mails, memory.
      ...['account-limits', 'admin-counts', 'db-administration', 'lateness', 'outbox', 'overload', 'sweeper'],
      ...['throttle'],
      // Servers beside each other, and those who follow them.
      ...['admin-audit-stream', 'events', 'log-in-instances', 'name-races', 'push', 'status-list'],
      // What is told to receivers, and tried again.
      ...['client-jwks-uri', 'deliveries', 'stream-administration', 'stream-receivers', 'streams'],
      // Forms of which each is sent in many ways.
      ...['account-factors', 'recovery', 'sent-twice', 'sent-twice-factors', 'session-index'],
      // Users of other programs, and databases that something else has damaged.
      ...['doctor-rows', 'user-import', 'user-imports', 'usernames'],
      // Each route, page and command, with whatever it may be given.
      ...['admin-open-api', 'commands-client-keys', 'commands-log-in-clients', 'commands-records'],
      ...['pages-face', 'pages-views'],
      // The kit, and clients with certificates or of a profile.
      ...['fapi', 'fapi-flows', 'mtls', 'resource-server', 'resource-server-authentication'],
      ...['resource-server-bound'],
    ],
  }).flatMap(([folder, names]) => names.map(name => join(folder, `${name}.test.ts`))),
)

/**
 * Runs one of the batches, numbered from 1, in this process: a process of its own for each test file would
 * load the same modules again and compile them anew, which takes longer than most of the tests.
 */
export async function runBatch(number: number): Promise<void> {
  // A runner with work of its own for its end would end while the next file takes time to load.
  const endings: (() => unknown)[] = []
  t.teardown = work => void endings.unshift(work)
  for (const file of batch(number)) {
    if (isLeftOut(file)) {
      await t.test(file, notQuick, () => {})
      continue
    }
    t.comment(file)
    await import(join(tests, file))
    // Most have only begun: the next file waits for them.
    await t.test(`${file} is over`, { buffered: false }, async () => {})
    t.jobs = 1 // it may have wanted more
  }
  for (const end of endings) await end()
}

/** The seconds that one core needs for some files beyond what their sizes tell. */
const extraSeconds: Readonly<Record<string, number>> = {
  'fuzz/fuzz.test.ts': 1,
  'journeys/account.test.ts': 8,
  'journeys/console-views.test.ts': 12,
  'journeys/console.test.ts': 24,
  'journeys/installed.test.ts': 2,
  'journeys/log-in-chaos.test.ts': 4,
  'journeys/log-in-examples.test.ts': 7,
  'journeys/log-in-libraries.test.ts': 2,
  'journeys/log-in.test.ts': 14,
  'journeys/package.test.ts': 11,
  'journeys/pages.test.ts': 20,
  'journeys/passkeys.test.ts': 4,
  'journeys/resource-server.test.ts': 2,
  'journeys/sent-twice.test.ts': 1,
  'model/refresh.test.ts': 1.6,
  'postgres/cost.test.ts': 3,
  'postgres/database.test.ts': 4,
  'postgres/db-copy.test.ts': 10,
  'postgres/failover.test.ts': 6,
  'postgres/faults.test.ts': 9,
  'postgres/first-contact.test.ts': 1,
  'postgres/moved-away.test.ts': 3,
  'postgres/pooler.test.ts': 4,
  'processes/audit-stream.test.ts': 5,
  'processes/back-channel-logout.test.ts': 5,
  'processes/commands-live.test.ts': 4,
  'processes/commands-session.test.ts': 2,
  'processes/commands.test.ts': 3,
  'processes/crashes.test.ts': 6,
  'processes/db-adopt.test.ts': 2,
  'processes/faults.test.ts': 2,
  'processes/files.test.ts': 1,
  'processes/key-commands.test.ts': 3,
  'processes/log-recovery.test.ts': 1,
  'processes/mails.test.ts': 3,
  'processes/migrations.test.ts': 5,
  'processes/process-end.test.ts': 4,
  'processes/process.test.ts': 9,
  'processes/push.test.ts': 6,
  'processes/restore.test.ts': 3,
  'processes/revive.test.ts': 2,
  'processes/root-key.test.ts': 2,
  'processes/streams.test.ts': 7,
  'processes/workers.test.ts': 9,
  'pure/known-tokens.test.ts': 0.7,
  'server/admin-api.test.ts': 1,
  'server/admin-api-keys.test.ts': 0.7,
  'server/admin-open-api.test.ts': 4,
  'server/commands-log-in-clients.test.ts': 0.9,
  'server/commands-records.test.ts': 3,
  'server/groups.test.ts': 1,
  'server/imported-names.test.ts': 2,
  'server/log-in-instances.test.ts': 5,
  'server/log-in-prompts.test.ts': 1,
  'server/overload.test.ts': 1.5,
  'server/passkey-pages.test.ts': 1.3,
  'server/passwords.test.ts': 0.9,
  'server/recovery.test.ts': 1,
  'server/posts.test.ts': 1,
  'server/resource-server.test.ts': 1.2,
  'server/second-factors.test.ts': 0.8,
  'server/sent-twice.test.ts': 4,
  'server/status-list.test.ts': 1.6,
  'server/sweeper.test.ts': 1.8,
  'server/user-import.test.ts': 4,
  'server/user-imports.test.ts': 2,
  'server/verifiers.test.ts': 3,
}
const bytesPerSecond = 27_000

function isLeftOut(file: string): boolean {
  return isQuick && leftToNpmTest.has(file)
}

/** Dealt out, the longest first, each to who has the least, so that all take about as long. */
function batch(number: number): readonly string[] {
  let before = 0
  const group = groups.find(({ batches }) => number <= (before += batches))
  if (!group) throw new Error(`there is no batch ${number}`)
  const files = group.folders.flatMap(folder =>
    readdirSync(join(tests, folder))
      .filter(name => name.endsWith('.test.ts'))
      .map(name => join(folder, name)),
  )
  const unknown = Object.keys(extraSeconds).filter(file => !existsSync(join(tests, file)))
  unknown.push(...[...leftToNpmTest].filter(file => !existsSync(join(tests, file))))
  if (unknown.length > 0) throw new Error(`no test files: ${unknown.join(', ')}`)
  const secondsOf = (file: string) =>
    isLeftOut(file) ? 0 : statSync(join(tests, file)).size / bytesPerSecond + (extraSeconds[file] ?? 0)
  const hands = Array.from({ length: group.batches }, () => ({ seconds: 0, files: [] as string[] }))
  for (const file of files.toSorted((a, b) => secondsOf(b) - secondsOf(a))) {
    const hand = hands.reduce((least, other) => (other.seconds < least.seconds ? other : least))
    hand.seconds += secondsOf(file)
    hand.files.push(file)
  }
  return hands[number - 1 - before + group.batches]?.files ?? []
}
