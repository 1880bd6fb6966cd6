import assert from 'node:assert/strict'
import { enableClient } from '../../db/clients/clients.ts'
import { revokeSession } from '../../db/sessions/sessions.ts'
import { enableUser } from '../../db/users/users.ts'
import { endSessionsOfClient, endSessionsOfUser } from '../../src/endings/end.ts'
import type { Event } from '../../src/record/events.ts'
import { record } from '../../src/record/record.ts'
import type { LineLog } from '../../src/record/restore-log.ts'
import { byCommand } from '../helpers/by-command.ts'
import { newSessionModel } from './oracle.ts'
import { read } from './requests.ts'
import { ada, endByEpoch, pick, step, type Owner, type Session, type Story } from './story.ts'
import { kinds, password, type World } from './world.ts'

async function logIn(world: World, kind: (typeof kinds)[number]) {
  return world.post('/token', { grant_type: 'password', client_id: kind, username: 'ada', password })
}

export const logInStep = (kind: (typeof kinds)[number]) =>
  step(
    `log in with the client ${kind}`,
    story => story.sessions.length < 4,
    async (story, world) => {
      if (story.userIsDisabled) {
        assert.equal((await logIn(world, kind)).status, 400, 'a disabled user cannot log in')
        await enableUser(world.ctx.db, (await ada(world)).id)
        story.userIsDisabled = false
      }
      const { status, body } = await logIn(world, kind)
      assert.equal(status, 200, `the log-in is answered with a token: ${JSON.stringify(body)}`)
      const token = String(body['refresh_token'])
      const { id, generation } = read(token)
      assert.equal(generation, 0)
      const name = `session ${story.sessions.length} (${kind})`
      const model = newSessionModel(kind, world.now)
      const tokens = new Map([[0, token]])
      story.sessions.push({
        name,
        id,
        began: story.epochs,
        model,
        isLogged: false,
        tokens,
        held: 0,
        stolen: undefined,
        isHasty: false,
      })
      return `${name} begins`
    },
  )

/** Those that raise an epoch, which ends log-ins that are under way too. */
export const raisingEndings = [
  'password',
  'disable',
  'revoke user',
  'revoke client',
  'disable client',
] as const

export const endings = ['client', 'admin', ...raisingEndings] as const

export const endStep = (i: number, how: (typeof endings)[number]) =>
  step(
    `sessions end: ${how}`,
    story => story.sessions.length > 0,
    async (story, world) => {
      const session = pick(story.sessions, i)
      await end(world, session, how)
      const wasLiving = session.model.end === undefined
      if (how === 'client' || how === 'admin') {
        session.isLogged ||= wasLiving
        session.model.end ??= 'revoked'
        return `${how} ends ${session.name}`
      }
      // A user who is disabled here is enabled again at once, also after a replay that had left him disabled.
      if (how === 'disable') story.userIsDisabled = false
      raise(story, world, how.endsWith('client') ? session.model.kind : 'ada')
      return `${how}: the sessions of ${how.endsWith('client') ? session.model.kind : 'the user'} end`
    },
  )

function raise(story: Story, { now }: World, owner: Owner): void {
  const to = story.epochs[owner] + 1
  story.epochs = { ...story.epochs, [owner]: to }
  story.raised.push({ owner, to, at: now })
  endByEpoch(story)
}

/** The rest of the work is a step of its own. */
const later = { stepsMax: 0 }

function revoked({ id: sessionId, model }: Session, at: number): Event {
  return {
    event: 'session_revoked',
    userId: null,
    clientId: model.kind,
    sessionId,
    at,
    detail: { reason: 'command' },
  }
}

function withReason(reason: string, log: LineLog): LineLog {
  return {
    info: (facts, text) => log.info({ ...facts, reason }, text),
    warn: (facts, text) => log.warn({ ...facts, reason }, text),
  }
}

/** What a client, an admin and the commands do, and what they leave in the log. */
export async function end(world: World, session: Session, how: (typeof endings)[number]): Promise<void> {
  const { ctx } = world
  const { db } = ctx
  const by = byCommand(ctx)
  const clientId = session.model.kind
  const user = await ada(world)
  switch (how) {
    case 'client': {
      // Of whatever generation.
      const token = session.tokens.get(0) ?? ''
      assert.equal((await world.post('/revoke', { client_id: clientId, token })).status, 200)
      return
    }
    case 'admin':
      return void (await record(by, revoked(session, world.now), writer =>
        revokeSession(writer, session.id, world.now, 'command'),
      ))
    case 'password':
      return void (await endSessionsOfUser(
        by,
        user.id,
        { reason: 'password changed', password: user },
        later,
      ))
    case 'disable':
      await endSessionsOfUser(by, user.id, { reason: 'user disabled' }, later)
      return void (await enableUser(db, user.id))
    case 'revoke user':
      return void (await endSessionsOfUser(by, user.id, { reason: 'command' }, later))
    case 'revoke client':
      await endSessionsOfClient(by, clientId, 'command', later)
      return world.follow()
    case 'disable client': {
      // A replay would disable it again; here the log is only told that its sessions have ended.
      await endSessionsOfClient(
        { ...by, log: withReason('command', ctx.log) },
        clientId,
        'client disabled',
        later,
      )
      await enableClient(db, clientId)
      return world.follow()
    }
  }
}

export const raceStep = (i: number, how: (typeof raisingEndings)[number]) =>
  step(
    `a log-in races with: ${how}`,
    story => story.sessions.length > 0 && !story.userIsDisabled,
    async (story, world) => {
      const session = pick(story.sessions, i)
      const count = async () => (await world.ctx.db.sql.selectFrom('sessions').select('id').execute()).length
      const before = await count()
      const atTheGate = world.gate.shut()
      const racing = logIn(world, session.model.kind)
      await atTheGate
      await end(world, session, how)
      world.gate.open()
      const { status } = await racing
      assert.notEqual(status, 200, 'invariant 11: a log-in that began before is not answered with a token')
      assert.equal(await count(), before, 'invariant 11: and there is no session')
      raise(story, world, how.endsWith('client') ? session.model.kind : 'ada')
      return `a log-in races with ${how}, and loses`
    },
  )
