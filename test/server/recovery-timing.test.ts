import t from 'tap'
import { verifiedMail } from '../helpers/account.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { runJob } from '../helpers/run-job.ts'
import { runsOf } from '../helpers/runs.ts'
import { startServer } from '../helpers/server.ts'

const known = 'ada@mail.example'

/** How many answers of each kind are measured. */
const count = runsOf(500)

/**
 * By how many standard deviations the ranks of some durations are above or below what chance gives, where
 * the others are of the same kind (Mann and Whitney). A stall of the machine moves one rank, not all.
 */
function deviation(some: readonly number[], others: readonly number[]): number {
  const all = [...some.map(ms => ({ ms, isOne: true })), ...others.map(ms => ({ ms, isOne: false }))]
  all.sort((a, b) => a.ms - b.ms)
  const sum = all.reduce((total, { isOne }, index) => (isOne ? total + index + 1 : total), 0)
  const [m, n] = [some.length, others.length]
  const u = sum - (m * (m + 1)) / 2
  return (u - (m * n) / 2) / Math.sqrt((m * n * (m + n + 1)) / 12)
}

/**
 * By chance it is more once in fifteen thousand times. What is done before an answer makes it twenty; ten
 * where a quarter is measured.
 */
const deviationMax = 4

const asked = [
  ['/reset', 'username', ['ada', 'eve']],
  ['/sign-up', 'email', [known, 'eve@mail.example']],
] as const

t.test('invariant 15: an answer takes the same time, whether there is an account or not', async t => {
  for (const [path, field, typed] of asked) {
    await t.test(path, async t => {
      const mailbox = await openMailbox(t)
      const server = await startServer(t, { ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
      await verifiedMail(server, await server.user('ada'), known)
      const durations: [number[], number[]] = [[], []]
      const ask = async (which: 0 | 1, index: number) => {
        // Long after the mail before, so that there is one each time; and from everywhere.
        server.tick(720)
        const begun = performance.now()
        const { statusCode } = await server.request({
          method: 'POST',
          url: path,
          remoteAddress: `10.1${which}.${index >> 8}.${index & 255}`,
          headers: { host: 'as.example', 'content-type': 'application/x-www-form-urlencoded' },
          payload: new URLSearchParams({ [field]: typed[which] }).toString(),
        })
        durations[which].push(performance.now() - begun)
        if (statusCode !== 303) throw new Error(`answered ${statusCode}`)
        await runJob(server, 'doing what was asked for')
      }
      // Until all that runs was compiled.
      for (let index = 0; index < 50; index++)
        for (const which of [0, 1] as const) await ask(which, 60_000 + index)
      durations.forEach(some => some.splice(0))
      // By turns, and each first as often as the other.
      for (let index = 0; index < count; index++)
        for (const which of index % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) await ask(which, index)
      const waiting = await server.ctx.db.sql.selectFrom('outbox').select('id').execute()
      t.ok(waiting.length >= count, 'the mails have been written')
      const [one, other] = durations
      const z = deviation(one, other)
      t.ok(Math.abs(z) < deviationMax, `${z.toFixed(1)} standard deviations`)
      t.comment(`${path}: ${z.toFixed(2)} standard deviations`)
    })
  }
})
