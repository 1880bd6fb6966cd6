import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verifiedMail } from '../helpers/account.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { runJob } from '../helpers/run-job.ts'
import { shareOf } from '../helpers/runs.ts'
import { startServer } from '../helpers/server.ts'
import { takesSameTime } from '../helpers/timing.ts'

const known = 'ada@mail.example'
const imported = 'ida@mail.example'

const hashes = readFileSync(join(import.meta.dirname, '../data/password-hashes.json'), 'utf8')
const foreignHash: string = JSON.parse(hashes)['passlib pbkdf2_sha256']

/**
 * How many answers of each kind are measured. What is done before an answer makes it twenty standard
 * deviations; ten where a quarter is measured, and seven where an eighth is.
 */
const count = shareOf(500)

const asked = [
  ['/reset', 'username', ['ada', 'eve', 'ida']],
  ['/sign-up', 'email', [known, 'eve@mail.example', imported]],
] as const

t.test(
  'invariant 15: an answer takes the same time, whether there is an account or not, imported or not',
  async t => {
    for (const [path, field, typed] of asked) {
      await t.test(path, async t => {
        const mailbox = await openMailbox(t)
        const server = await startServer(t, { ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
        await verifiedMail(server, await server.user('ada'), known)
        const ida = await server.user('ida')
        await verifiedMail(server, ida, imported)
        const hash = server.ctx.users.passwords.wrap(foreignHash)
        await server.ctx.db.sql.updateTable('users').set(hash).where('id', '=', ida.id).execute()
        const measure = async (name: string, n: number) => {
          // Long after the mail before, so that there is one each time; and from everywhere.
          server.tick(720)
          const begun = performance.now()
          const { statusCode } = await server.request({
            method: 'POST',
            url: path,
            remoteAddress: `10.1${typed.findIndex(one => one === name)}.${n >> 8}.${n & 255}`,
            headers: { host: 'as.example', 'content-type': 'application/x-www-form-urlencoded' },
            payload: new URLSearchParams({ [field]: name }).toString(),
          })
          const ms = performance.now() - begun
          if (statusCode !== 303) throw new Error(`answered ${statusCode}`)
          await runJob(server, 'doing what was asked for')
          return ms
        }
        await takesSameTime(t, typed, { count, measure })
        const waiting = await server.ctx.db.sql.selectFrom('outbox').select('id').execute()
        t.ok(waiting.length >= count, 'the mails have been written')
      })
    }
  },
)
