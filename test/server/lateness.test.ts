import t, { type Test } from 'tap'
import { openLateness } from '../../src/endings/lateness.ts'
import { handClock } from '../helpers/hand-clock.ts'
import {
  isOAuthError,
  startServer,
  type TestClient,
  type TestServer,
  type TestUser,
} from '../helpers/server.ts'

const minute = 60
const hour = 60 * minute

/** So many users with an address each, of whom some are late. */
interface Those {
  readonly users: number
  readonly late: number
  /** What they come from; each has his own unless told. */
  readonly from?: (i: number) => string | undefined
  /** Whose sessions they are; each is another user's unless told. */
  readonly of?: (i: number) => number
}

function openTest() {
  const { tick, ...clock } = handClock()
  const { lateness } = openLateness(clock)
  return {
    lateness,
    tick,
    /** All of them refresh, and some of them late. */
    refresh: ({ users, late, from = i => `source ${i}`, of = i => i }: Those) => {
      for (let i = 0; i < users; i++) {
        const id = Buffer.from(`user ${of(i)}`)
        if (i < late) lateness.countLate(id, from(i))
        lateness.countRefresh(id, from(i))
      }
    },
  }
}

t.test('an outage is what makes more than 2 % of all users and of all sources late', async t => {
  const cases: [title: string, those: readonly Those[], isOutage: boolean][] = [
    ['nobody', [], false],
    ['1,000 users, of whom 21 are late', [{ users: 1000, late: 21 }], true],
    ['1,000 users, of whom 20 are late', [{ users: 1000, late: 20 }], false],
    ['100 users, of whom 10 are late', [{ users: 100, late: 10 }], true],
    ['100 users, of whom 9 are late', [{ users: 100, late: 9 }], false],
    ['6 users, of whom 3 are late', [{ users: 6, late: 3 }], true],
    ['7 users, of whom 3 are late', [{ users: 7, late: 3 }], false],
    ['2 users, both of them late', [{ users: 2, late: 2 }], false],
    [
      'one user with 50 late sessions among 100',
      [
        { users: 100, late: 0 },
        { users: 50, late: 50, of: () => 0 },
      ],
      false,
    ],
    [
      'one user with 50 late sessions and as many addresses among 100',
      [
        { users: 100, late: 0 },
        { users: 50, late: 50, of: () => 0, from: i => `own ${i}` },
      ],
      false,
    ],
    [
      '50 late users at one address among 100',
      [
        { users: 100, late: 0 },
        { users: 50, late: 50, of: i => 1000 + i, from: () => 'one' },
      ],
      false,
    ],
    ['an office, all of it behind one address', [{ users: 200, late: 150, from: () => 'office' }], true],
    ['a website, whose users cannot be told apart', [{ users: 200, late: 150, from: () => undefined }], true],
    [
      'a website beside others who come by themselves, and are not late',
      [
        { users: 200, late: 0 },
        { users: 50, late: 50, of: i => 1000 + i, from: () => undefined },
      ],
      false,
    ],
    ['100,000 users, of whom 3 % are late', [{ users: 100_000, late: 3000 }], true],
    ['100,000 users, of whom 1 % are late', [{ users: 100_000, late: 1000 }], false],
  ]
  for (const [title, those, isOutage] of cases) {
    const { lateness, refresh } = openTest()
    those.forEach(refresh)
    t.equal(lateness.isOutage(), isOutage, title)
  }
})

t.test('what was ten minutes ago does not count, and many that come again count once', async t => {
  const { lateness, refresh, tick } = openTest()
  refresh({ users: 100, late: 50 })
  tick(9 * minute)
  t.ok(lateness.isOutage())
  tick(1 * minute)
  t.notOk(lateness.isOutage())
  for (let i = 0; i < 20; i++) {
    refresh({ users: 100, late: 9 })
    tick(20)
  }
  t.notOk(lateness.isOutage(), 'nine who are late again and again are nine')
})

t.test(
  'where some are always late an outage is more than that, and what is never usual stays one',
  async t => {
    const { lateness, refresh, tick } = openTest()
    const pass = (hours: number, late: number) => {
      for (let i = 0; i < hours * 12; i++) {
        refresh({ users: 400, late })
        tick(5 * minute)
      }
    }
    pass(1, 20)
    t.ok(lateness.isOutage(), 'of 5 % nobody knows at first that they are usual')
    pass(24, 20)
    t.notOk(lateness.isOutage(), 'after a day it is known')
    refresh({ users: 400, late: 200 })
    t.ok(lateness.isOutage())
    pass(48, 200)
    t.ok(lateness.isOutage(), 'two days in which half of all are late are an outage to their end')
    tick(7 * 24 * hour)
    refresh({ users: 400, late: 20 })
    t.ok(lateness.isOutage(), 'what was usual is forgotten')
  },
)

t.test('a crowd that has gone leaves a few who are counted one by one again', async t => {
  const { lateness, refresh, tick } = openTest()
  refresh({ users: 100_000, late: 0 })
  for (let i = 0; i < 30; i++) {
    tick(minute)
    refresh({ users: 100, late: 0 })
  }
  refresh({ users: 100, late: 10 })
  t.ok(lateness.isOutage())
})

/**
 * Refreshes and, a minute later, once more with the same token, because the answer was lost: or because
 * somebody wants that.
 */
async function refreshLate(t: Test, server: TestServer, client: TestClient, tokens: string[]): Promise<void> {
  const sent = [...tokens]
  for (const [i, token] of sent.entries()) tokens[i] = (await server.refresh(client, token)).refresh_token
  server.tick(minute)
  const again = await Promise.all(sent.map(token => server.refresh(client, token)))
  t.strictSame(
    again.map(({ refresh_token }) => refresh_token),
    tokens,
  )
  server.tick(minute)
}

async function logInAll(
  server: TestServer,
  client: TestClient,
  users: readonly TestUser[],
): Promise<string[]> {
  const tokens: string[] = []
  for (const user of users) tokens.push((await server.logIn(client, user)).refresh_token)
  return tokens
}

t.test('one user who is late in ten sessions of his own hides no thief', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const owner = await server.user('owner')
  const liar = await server.user('liar')
  const [stolen = ''] = await logInAll(server, app, [owner])
  const own = await logInAll(server, app, Array<TestUser>(10).fill(liar))
  let held = stolen
  for (let generation = 0; generation < 5; generation++) {
    await refreshLate(t, server, app, own)
    // The owner, and the thief after him.
    const next = (await server.refresh(app, held)).refresh_token
    server.tick(minute)
    t.equal((await server.refresh(app, held)).refresh_token, next)
    held = next
  }
  t.notOk(server.ctx.sessions.lateness.isOutage())
  await server.refresh(app, held)
  server.tick(minute)
  const seen = await server.post('/token', {
    grant_type: 'refresh_token',
    refresh_token: held,
    ...app.form,
  })
  isOAuthError(t, seen, 400, 'invalid_grant', 'the sixth of eight')
})

t.test('in an outage nobody is taken for a thief who is late', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const users: TestUser[] = []
  for (let i = 0; i < 4; i++) users.push(await server.user(`user ${i}`))
  const tokens = await logInAll(server, app, users)
  for (let generation = 0; generation < 10; generation++) await refreshLate(t, server, app, tokens)
  t.ok(server.ctx.sessions.lateness.isOutage())
  t.ok(server.log.some(({ msg }) => /too many late retries, let pass/.test(String(msg))))
})
