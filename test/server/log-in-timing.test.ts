import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { usualCost, type PasswordCost } from '../../src/users/passwords.ts'
import { runJob } from '../helpers/run-job.ts'
import { shareOf } from '../helpers/runs.ts'
import { startedAt, startServer, type TestUser } from '../helpers/server.ts'
import { takesSameTime } from '../helpers/timing.ts'

/** How many wrong passwords are measured for each name. */
const count = shareOf(200)

/** Enough to be seen beside the rest of an answer, and little enough for some hundreds. */
const someCost = { memoryCost: 1024, timeCost: 1, parallelism: 1 }

const hashes = readFileSync(join(import.meta.dirname, '../data/password-hashes.json'), 'utf8')
/** Of few rounds: it takes a small part of what our own takes. */
const foreignHash: string = JSON.parse(hashes)['passlib pbkdf2_sha256']

/** A server and an app of one's own; what a wrong password at /authorize-challenge takes. */
async function world(t: Test, cost: PasswordCost) {
  const server = await startServer(t, {}, startedAt, cost)
  const { passwords } = server.ctx.users
  const app = await server.client('app', {
    isPublic: true,
    grant_types: 'authorization_code refresh_token',
    redirect_uris: 'https://app.example/callback',
    first_party: 1,
  })
  const change = async ({ id }: TestUser, columns: object) =>
    void (await server.ctx.db.sql.updateTable('users').set(columns).where('id', '=', id).execute())
  const first = {
    ...app.form,
    response_type: 'code',
    scope: 'openid',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  }
  const measure = async (username: string, n: number) => {
    // Long after the guess before; and from everywhere.
    server.tick(720)
    const begun = performance.now()
    const answer = await server.request({
      method: 'POST',
      url: '/authorize-challenge',
      remoteAddress: `10.1.${n >> 8}.${n & 255}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ ...first, username, password: 'wrong' }).toString(),
    })
    const ms = performance.now() - begun
    const { error, error_description } = answer.json()
    if (error !== 'insufficient_authorization' || !/password is wrong/.test(error_description))
      throw new Error(answer.body)
    return ms
  }
  return {
    server,
    disable: async (user: TestUser) => change(user, { disabled_at: 1 }),
    invite: async (user: TestUser) => change(user, passwords.wrap('')),
    importHash: async (user: TestUser) => {
      await change(user, passwords.wrap(foreignHash))
      const file = { digest: user.sub, lines: 1, created: 1, refused: 0, began_at: 1, ended_at: 1 }
      await server.ctx.db.sql.insertInto('imports').values(file).execute()
    },
    measure,
  }
}

t.test('invariant 15: a wrong password takes an app as long, whoever the user is', async t => {
  const { server, disable, invite, measure } = await world(t, someCost)
  await server.user('known')
  await disable(await server.user('disabled'))
  await invite(await server.user('invited'))
  await takesSameTime(t, ['known', 'unknown', 'disabled', 'invited'], { count, measure })
})

t.test('invariant 15: and as long, where users were imported', async t => {
  const { server, disable, importHash, measure } = await world(t, usualCost)
  await importHash(await server.user('imported'))
  const left = await server.user('disabled')
  await importHash(left)
  await disable(left)
  await runJob(server, 'looking at imported passwords')
  await takesSameTime(t, ['imported', 'unknown', 'disabled'], { count, measure })
})
