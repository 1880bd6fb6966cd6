import './untracked-promises.ts'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { take } from './queue.ts'
import { isQuick, notQuick } from './runs.ts'

const tests = join(import.meta.dirname, '..')

/**
 * The folders of the tests that share a few processes: its modules, its databases and its browser. They leave
 * nothing behind in it.
 */
const folders = isQuick
  ? ['model', 'pure', 'server']
  : ['checks', 'fuzz', 'journeys', 'model', 'postgres', 'processes', 'pure', 'server']

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
 * Runs test files in this process, one after the other, as long as no other process of this run has taken
 * them: a process of its own for each would load the same modules again and compile them anew, which takes
 * longer than most of the tests.
 */
export async function runBatch(): Promise<void> {
  // A runner with work of its own for its end would end while the next file takes time to load.
  const endings: (() => unknown)[] = []
  t.teardown = work => void endings.unshift(work)
  for (const file of queue()) {
    if (!take(file)) continue
    if (isQuick && leftToNpmTest.has(file)) {
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

/** The files that take longest, the longest first, so that what is begun last is short. */
const longest = [
  'checks/checks',
  'journeys/console',
  'processes/process',
  'journeys/log-in',
  'journeys/pages',
  'journeys/console-views',
  'processes/key-commands',
  'postgres/database',
  'postgres/db-copy',
  'server/deliveries',
  'journeys/log-in-examples',
  'processes/push',
  'journeys/account',
  'processes/back-channel-logout',
  'postgres/faults',
  'postgres/failover',
  'processes/crashes',
  'processes/migrations',
  'processes/audit-stream',
  'processes/streams',
  'server/outbox',
  'processes/commands-live',
  'processes/workers',
  'processes/process-end',
  'processes/restore',
  'postgres/moved-away',
  'processes/metrics',
  'journeys/log-in-chaos',
  'server/log-in-prompts',
  'server/recovery',
  'server/sent-twice',
  'server/user-imports',
  'server/log-in-instances',
  'journeys/resource-server',
  'processes/faults',
  'journeys/package',
  'processes/commands',
  'server/streams',
  'server/user-import',
  'journeys/passkeys',
  'server/admin-open-api',
  'server/commands-records',
].map(name => `${name}.test.ts`)

/** All files, in the order in which they are taken. */
function queue(): readonly string[] {
  const files = folders.flatMap(folder =>
    readdirSync(join(tests, folder))
      .filter(name => name.endsWith('.test.ts'))
      .map(name => join(folder, name)),
  )
  const unknown = [...longest, ...leftToNpmTest].filter(file => !existsSync(join(tests, file)))
  if (unknown.length > 0) throw new Error(`no test files: ${unknown.join(', ')}`)
  const sizeOf = (file: string) => statSync(join(tests, file)).size
  const others = files.filter(file => !longest.includes(file)).toSorted((a, b) => sizeOf(b) - sizeOf(a))
  return [...longest.filter(file => files.includes(file)), ...others]
}
