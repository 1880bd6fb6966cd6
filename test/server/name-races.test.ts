import t from 'tap'
import { findUser } from '../../db/users/users.ts'
import { makeLink, type LinkKind } from '../../src/account/links.ts'
import { resetPassword } from '../../src/account/reset.ts'
import { signUp } from '../../src/account/sign-up.ts'
import { confirmAddress } from '../../src/account/verification.ts'
import type { Admin } from '../../src/admin/admin.ts'
import { inviteUser } from '../../src/admin/invitation.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { createUser, renameUser } from '../../src/admin/users.ts'
import { Refusal } from '../../src/errors.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { rowOf, withMail } from '../helpers/account.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const caller = { address: '198.51.100.7', requestId: 'r-1', source: undefined }
const password = 'a wholly other one'
const settings = { ...withMail, MINTMARK_SIGN_UP: 'open' }

async function adminOf({ ctx }: TestServer): Promise<Admin> {
  return servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)
}

/** Comes to a name, which is a mail address; tells `had`, or why it was not to be had. */
type Attempt = (name: string) => Promise<string>

/** Makes ready how somebody comes to a name, at an instance. */
type Way = (server: TestServer, name: string, who: string) => Promise<Attempt>

/** The text of a link that was mailed to the address. */
function linkTo({ ctx }: TestServer, kind: LinkKind, facts: Parameters<typeof makeLink>[2]): string {
  return new URL(makeLink(ctx, kind, facts).href).searchParams.get('link') ?? ''
}

const codeOf = (error: unknown): string => {
  if (error instanceof Refusal) return error.code
  throw error
}

const byAdmin =
  (act: (admin: Admin, name: string, who: string) => Promise<unknown>): Way =>
  async (server, _, who) => {
    const admin = await adminOf(server)
    return name => act(admin, name, who).then(() => 'had', codeOf)
  }

const ways: Readonly<Record<string, Way>> = {
  'a sign-up': async (server, mail) => {
    const facts = { userId: newUuid(server.ctx.clock.now()), epochs: null, mail, request: null }
    const link = linkTo(server, 'sign_up', facts)
    return async username => {
      const outcome = await signUp(server.ctx, link, { username, password, locale: 'en', caller })
      return outcome.kind === 'created' ? 'had' : outcome.problem
    }
  },
  'an invitation that is followed': async (server, email, who) => {
    const { user } = await inviteUser(await adminOf(server), { username: who, email, roles: [] })
    const link = linkTo(server, 'invitation', { userId: user.id, epochs: user, mail: email, request: null })
    return async () => {
      const outcome = await resetPassword(server.ctx, link, password, caller)
      if (outcome.kind === 'refused') return outcome.problem
      const { claims } = await rowOf(server, user)
      return JSON.parse(claims).email_verified === true ? 'had' : 'set, and not verified'
    }
  },
  'an address that is confirmed': async (server, mail, who) => {
    const user = await server.user(who)
    const epochs = await rowOf(server, user)
    const link = linkTo(server, 'verification', { userId: user.id, epochs, mail, request: null })
    return async () => {
      const outcome = await confirmAddress(server.ctx, link, { loggedIn: user, username: undefined, caller })
      return outcome.kind === 'confirmed' ? 'had' : outcome.problem
    }
  },
  'user create': byAdmin((admin, username) => createUser(admin, { username, password, roles: [] })),
  'user invite': byAdmin((admin, username) =>
    inviteUser(admin, { username, email: 'b@b.example', roles: [] }),
  ),
  'user rename': async (server, _, who) => {
    await server.user(who)
    const admin = await adminOf(server)
    return name => renameUser(admin, who, name).then(() => 'had', codeOf)
  },
}

/** The answers to somebody who comes too late, of all ways. */
const refusals = ['mail_taken', 'username_taken', 'set, and not verified', 'conflict']

await forEachEngine(
  t,
  'of two who come to one name at once, in whatever ways, one has it',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...settings })
    const beside = await startServer(t, { ...besideEnv(server), ...settings })
    const names = Object.keys(ways)
    for (const [index, one] of names.entries()) {
      for (const other of names.slice(index)) {
        const name = `both-${index}-${names.indexOf(other)}@mail.example`
        beside.setClock(server.ctx.clock.now())
        const attempts = await Promise.all([
          ways[one]?.(server, name, `one of ${name}`),
          ways[other]?.(beside, name.toUpperCase(), `other of ${name}`),
        ])
        const told = await Promise.all([attempts[0]?.(name), attempts[1]?.(name.toUpperCase())])
        // An invitation to a name that was invited just now is sent again.
        const isAgain = one === 'user invite' && other === one && told.every(outcome => outcome === 'had')
        t.equal(
          told.filter(outcome => outcome === 'had').length,
          isAgain ? 2 : 1,
          `${one}, ${other}: ${told.join()}`,
        )
        t.ok(
          told.every(outcome => outcome === 'had' || refusals.includes(outcome ?? '')),
          told.join(),
        )
        const rows = await server.ctx.db.sql
          .selectFrom('user_names')
          .selectAll()
          .where('name', '=', name)
          .execute()
        t.equal(rows.length, 1, 'and it names one user')
        t.ok((await findUser(server.ctx.db, name))?.id.equals(rows[0]?.user_id ?? Buffer.alloc(0)))
      }
    }
  },
)

await forEachEngine(
  t,
  'who sets the first password while the invitation is sent again is not invited to another',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...settings })
    const admin = await adminOf(server)
    const invitation = { username: 'bob', email: 'bob@mail.example', roles: [] }
    const { user } = await inviteUser(admin, invitation)
    const facts = { userId: user.id, epochs: user, mail: 'bob@mail.example', request: null }
    const link = linkTo(server, 'invitation', facts)
    let isLate = false
    // Bob is faster, by a moment.
    const overtaken: Admin = {
      ...admin,
      db: {
        ...admin.db,
        transact: async work => {
          if (!isLate) {
            isLate = true
            t.equal((await resetPassword(server.ctx, link, password, caller)).kind, 'set')
          }
          return admin.db.transact(work)
        },
      },
    }
    await t.rejects(inviteUser(overtaken, invitation), { code: 'conflict', message: /with a password/ })
    t.ok(isLate)
    const mails = await server.ctx.db.sql.selectFrom('outbox').select('kind').execute()
    t.equal(mails.filter(({ kind }) => kind === 'invitation').length, 1)
  },
)
