import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { Test } from 'tap'
import { disableClient, enableClient, raiseClientEpochs } from '../../db/clients.ts'
import { findSession, revokeSession } from '../../db/sessions.ts'
import { sweepSessions } from '../../db/sweeper.ts'
import { changePassword, disableUser, enableUser, findUser, raiseUserEpoch } from '../../db/users.ts'
import type { UserTable } from '../../db/database.ts'
import type { EpochEnding } from '../../db/endings.ts'
import { logRevocation } from '../../src/audit.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { heal, newSessionModel, present, type SessionModel } from './oracle.ts'
import { sharedCluster, type EngineEnv } from '../engines.ts'
import { kinds, makeTemplate, openWorld, password, type World } from './world.ts'

/** A log-in, as the story knows it. */
interface Session {
  readonly name: string
  readonly id: Buffer
  model: SessionModel
  /** The epochs in which it began. */
  readonly began: Epochs
  /** Whether the log tells that it was revoked by itself. */
  isLogged: boolean
  /** The text of each token that was given out, by its generation. */
  readonly tokens: Map<number, string>
  /** The newest generation that the client has received, and the one that a thief has a copy of. */
  held: number
  stolen: number | undefined
  /** Whether the client ever sent a request before it knew what had become of the one before. */
  isHasty: boolean
}

/** Whose epoch it is: the user's, or that of a client. */
type Owner = 'ada' | SessionModel['kind']

type Epochs = Readonly<Record<Owner, number>>

interface Request {
  readonly session: Session
  readonly from: 'client' | 'thief'
  readonly generation: number
}

interface Answer {
  readonly request: Request
  readonly generation: number | undefined
}

/** What has happened so far, and what is on its way. */
interface Story {
  readonly sessions: Session[]
  requests: Request[]
  answers: Answer[]
  backup: Backup | undefined
  userIsDisabled: boolean
  /** How often the sessions of each were ended at once, and what the log tells of it. */
  epochs: Epochs
  readonly raised: { readonly owner: Owner; readonly to: number; readonly at: number }[]
  healed: number
  /** For people. */
  readonly told: string[]
}

interface Backup {
  readonly madeAt: number
  readonly models: ReadonlyMap<Session, SessionModel>
  readonly epochs: Epochs
}

type Step = fc.AsyncCommand<Story, World, true>

const day = 86_400

/** A step with a name; what it does it tells in the story. */
function step(
  name: string,
  isPossible: (story: Story) => boolean,
  run: (story: Story, world: World) => Promise<string>,
): Step {
  return {
    check: async story => isPossible(story),
    run: async (story, world) => {
      const at = world.now
      try {
        story.told.push(`${clock(at)} ${await run(story, world)}`)
      } catch (error) {
        story.told.push(`${clock(at)} ${name}: this is where it went wrong`)
        throw error
      }
      checkHealing(story, world)
    },
    toString: () => name,
  }
}

function clock(now: number): string {
  return `day ${Math.floor((now - 1_900_000_000) / day)}, ${new Date(now * 1000).toISOString().slice(11, 19)}:`
}

const pick = <T>(items: readonly T[], i: number): T => {
  const item = items[i % items.length]
  if (item === undefined) throw new Error('there is nothing to pick from')
  return item
}

/** The server heals where the database has gone back, and nowhere else: healing would hide that something was lost. */
function checkHealing(story: Story, world: World): void {
  assert.equal(countHealed(world), story.healed, 'each healing follows a restore')
}

function countHealed({ log }: World): number {
  return log.filter(line => line['event'] === 'session_healed').length
}

async function logIn(world: World, kind: (typeof kinds)[number]) {
  return world.post('/token', { grant_type: 'password', client_id: kind, username: 'ada', password })
}

const logInStep = (kind: (typeof kinds)[number]) =>
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

/** What a token says of itself. */
function read(token: string): { id: Buffer; generation: number } {
  const bytes = Buffer.from(token.slice('mm_rt_'.length, -6), 'base64url')
  return { id: bytes.subarray(5, 21), generation: bytes.readUInt32BE(21) }
}

async function ada({ ctx }: World): Promise<UserTable> {
  const user = await findUser(ctx.db, 'ada')
  if (!user) throw new Error('the user is gone')
  return user
}

const sendStep = (i: number, from: Request['from']) =>
  step(
    `the ${from} sends its token`,
    ({ sessions }) => sessions.some(session => from === 'client' || session.stolen !== undefined),
    async story => {
      const request = newRequest(story, i, from)
      story.requests.push(request)
      return `the ${from} of ${request.session.name} sends generation ${request.generation}`
    },
  )

/** What a client or a thief does most of the time: it sends, and has its answer at once, unless that is lost. */
const exchangeStep = (i: number, from: Request['from'], isReceived: boolean) =>
  step(
    `the ${from} refreshes${isReceived ? '' : ', and the answer is lost'}`,
    ({ sessions }) => sessions.some(session => from === 'client' || session.stolen !== undefined),
    async (story, world) => {
      const answer = await deliver(story, world, newRequest(story, i, from))
      if (isReceived) receive(answer)
      return `${describe(answer)}${isReceived ? '' : ', and is lost'}`
    },
  )

/** Again and again some time passes and the client refreshes, then the thief, if there is one. */
const routineStep = (i: number, times: number, seconds: number) =>
  step(
    `${times} times, ${seconds} s pass and the client refreshes`,
    ({ sessions }) => sessions.length > 0,
    async (story, world) => {
      const session = pick(story.sessions, i)
      const holders: Request['from'][] = session.stolen === undefined ? ['client'] : ['client', 'thief']
      const told = []
      for (let turn = 0; turn < times; turn++) {
        for (const from of holders) {
          world.now += seconds
          const answer = await deliver(story, world, requestOf(story, session, from))
          receive(answer)
          told.push(`${from} ${answer.request.generation}: ${answer.generation ?? 'refused'}`)
        }
      }
      return `every ${seconds} s ${session.name} is refreshed: ${told.join(', ')}`
    },
  )

function newRequest(story: Story, i: number, from: Request['from']): Request {
  const session = pick(
    story.sessions.filter(one => from === 'client' || one.stolen !== undefined),
    i,
  )
  return requestOf(story, session, from)
}

function requestOf(story: Story, session: Session, from: Request['from']): Request {
  const isUnderWay = [...story.requests, ...story.answers.map(answer => answer.request)].some(
    request => request.session === session && request.from === 'client',
  )
  if (from === 'client' && isUnderWay) session.isHasty = true
  return { session, from, generation: from === 'client' ? session.held : (session.stolen ?? 0) }
}

const stealStep = (i: number) =>
  step(
    'a thief copies a token',
    story => story.sessions.length > 0,
    async story => {
      const session = pick(story.sessions, i)
      session.stolen = session.held
      return `a thief copies generation ${session.held} of ${session.name}`
    },
  )

async function refresh(world: World, { session, generation }: Request): Promise<number | undefined> {
  const { status, body } = await world.post('/token', {
    grant_type: 'refresh_token',
    client_id: session.model.kind,
    refresh_token: session.tokens.get(generation) ?? '',
  })
  if (status !== 200) {
    assert.equal(body['error'], 'invalid_grant', `a refusal is one: ${status} ${JSON.stringify(body)}`)
    return undefined
  }
  const token = String(body['refresh_token'])
  const answered = read(token)
  assert.ok(answered.id.equals(session.id), 'the token is of the same session')
  const known = session.tokens.get(answered.generation)
  assert.equal(known ?? token, token, 'invariant 2: a generation has one token, whoever asks and how often')
  session.tokens.set(answered.generation, token)
  return answered.generation
}

/** The answer must be the one that the rules give, and an honest client must never be refused without one of three reasons. */
function checkAnswer(
  { session, from, generation }: Request,
  got: number | undefined,
  before: SessionModel,
  now: number,
): void {
  if (got !== undefined || from === 'thief' || session.stolen !== undefined || session.isHasty) return
  if (before.end !== undefined || session.model.end !== 'theft') return
  if (before.kind === 'strict') return
  assert.ok(
    session.model.late.size >= 5 && now > 0,
    `invariant 1: an honest client that waits for its answers is refused generation ${generation} only after six late ones`,
  )
}

const deliverStep = (i: number) =>
  step(
    'a request arrives',
    story => story.requests.length > 0,
    async (story, world) => {
      const request = pick(story.requests, i)
      story.requests = story.requests.filter(other => other !== request)
      const answer = await deliver(story, world, request)
      story.answers.push(answer)
      return describe(answer)
    },
  )

/** The server must answer as the rules say. */
async function deliver(story: Story, world: World, request: Request): Promise<Answer> {
  const { session } = request
  const before = structuredClone(session.model)
  if (isHealing(session.model, request.generation, world.now)) story.healed++
  const expected = present(session.model, request.generation, world)
  const generation = await refresh(world, request)
  const answer = { request, generation }
  assert.equal(generation, expected, `${describe(answer)}, but the rules say ${String(expected)}`)
  checkAnswer(request, generation, before, world.now)
  noteTheft(session, before, world)
  return answer
}

function describe({ request: { session, from, generation }, generation: got }: Answer): string {
  const verdict =
    got === undefined ? `refused (${session.model.end ?? 'expired'})` : `the answer is generation ${got}`
  return `generation ${generation} of ${session.name}, from the ${from}, arrives: ${verdict}`
}

function noteTheft(session: Session, before: SessionModel, { log }: World): void {
  if (before.end !== undefined || session.model.end !== 'theft') return
  const sid = formatUuid(session.id)
  session.isLogged ||= log.some(line => line['event'] === 'session_revoked' && line['sid'] === sid)
}

function isHealing(model: SessionModel, generation: number, now: number): boolean {
  return model.end === undefined && generation > model.newest && now < model.absoluteEndsAt
}

const receiveStep = (i: number) =>
  step(
    'an answer arrives',
    story => story.answers.length > 0,
    async story => {
      const answer = pick(story.answers, i)
      story.answers = story.answers.filter(other => other !== answer)
      const { session, from } = answer.request
      receive(answer)
      return `the ${from} of ${session.name} receives ${answer.generation === undefined ? 'a refusal' : `generation ${answer.generation}`}`
    },
  )

function receive({ request: { session, from }, generation }: Answer): void {
  if (generation === undefined) return
  if (from === 'client') session.held = Math.max(session.held, generation)
  else session.stolen = Math.max(session.stolen ?? 0, generation)
}

const loseStep = (i: number, what: 'requests' | 'answers') =>
  step(
    what === 'requests' ? 'a request is lost' : 'an answer is lost',
    story => story[what].length > 0,
    async story => {
      const lost = pick<Request | Answer>(story[what], i)
      story.requests = story.requests.filter(other => other !== lost)
      story.answers = story.answers.filter(other => other !== lost)
      const { session } = 'request' in lost ? lost.request : lost
      return `${what === 'requests' ? 'a request' : 'an answer'} of ${session.name} is lost`
    },
  )

/** Several requests of one session arrive at the same moment; with `killAfter`, the server dies so many turns later. */
const togetherStep = (i: number, killAfter: number | undefined) =>
  step(
    killAfter === undefined ? 'requests arrive together' : 'the server is killed among requests',
    story => story.requests.length > 0,
    async (story, world) => {
      const { session } = pick(story.requests, i)
      const together = story.requests.filter(request => request.session === session).slice(0, 3)
      story.requests = story.requests.filter(request => !together.includes(request))
      const got: (number | 'refused' | undefined)[] = together.map(() => undefined)
      const running = together.map(async (request, at) => {
        got[at] = (await refresh(world, request)) ?? 'refused'
      })
      if (killAfter === undefined) await Promise.all(running)
      else {
        const settled = Promise.allSettled(running)
        for (let turns = 0; turns < killAfter; turns++) await turn()
        const answered = [...got]
        await world.kill()
        await settled
        got.splice(0, got.length, ...answered)
      }
      const before = structuredClone(session.model)
      await findOrder(story, world, session, together, got)
      noteTheft(session, before, world)
      // A server that is killed may have healed, or revoked, and not have come to say so.
      if (killAfter !== undefined) story.healed = Math.min(story.healed, countHealed(world))
      together.forEach((request, at) => {
        const generation = got[at]
        if (generation !== undefined) {
          story.answers.push({ request, generation: generation === 'refused' ? undefined : generation })
        }
      })
      const list = together.map(({ from, generation }) => `${generation} (${from})`).join(', ')
      const how = killAfter === undefined ? '' : ', and the server is killed meanwhile'
      return `generations ${list} of ${session.name} arrive together${how}: ${got.map(String).join(', ')}`
    },
  )

/** Some order of the requests must explain the answers and what the database holds now. One without an answer may count or not. */
async function findOrder(
  story: Story,
  world: World,
  session: Session,
  together: readonly Request[],
  got: readonly (number | 'refused' | undefined)[],
): Promise<void> {
  const row = await findSession(world.ctx.db, session.id)
  const orders = ordersOf(
    together.map((_, at) => at),
    at => got[at] !== undefined,
  )
  for (const [order, isCut] of orders.flatMap(order => [[order, false] as const, [order, true] as const])) {
    const model = structuredClone(session.model)
    let healed = 0
    const fits = order.every((at, i) => {
      const request = together[at]
      if (!request) return false
      const heals = isHealing(model, request.generation, world.now)
      if (heals) healed++
      if (isCut && i === order.length - 1) {
        // The server was killed when it had healed the session, and not yet moved it on.
        if (heals) heal(model, request.generation)
        return heals && got[at] === undefined
      }
      const answer = present(model, request.generation, world) ?? 'refused'
      return got[at] === undefined || got[at] === answer
    })
    const isTheft = row?.revoke_reason === 'theft'
    const isSame =
      !row || model.end !== undefined
        ? (model.end === 'theft') === isTheft || session.model.end !== undefined
        : model.newest === row.generation && row.revoked_at === null
    if (!fits || !isSame) continue
    session.model = model
    story.healed += healed
    if (row && model.end === undefined) adopt(model, row)
    return
  }
  assert.fail(`no order explains the answers ${got.map(String).join(', ')} and generation ${row?.generation}`)
}

/** Where several orders fit, the database tells which one it was. */
function adopt(
  model: SessionModel,
  row: {
    generation: number
    late_history: number
    window_generation: number
    window_opened_at: number
    expires_at: number
  },
): void {
  const late = [0, 1, 2, 3, 4, 5, 6, 7]
    .filter(bit => (row.late_history >> bit) & 1)
    .map(bit => row.generation - bit)
  Object.assign(model, {
    late: new Set(late),
    windowFrom: row.window_generation,
    windowOpenedAt: row.window_opened_at,
    idleEndsAt: row.expires_at,
  })
}

/** All orders of all subsets that contain what is needed. */
function ordersOf(items: readonly number[], isNeeded: (item: number) => boolean): number[][] {
  const orders: number[][] = items.some(isNeeded) ? [] : [[]]
  for (const first of items) {
    const rest = items.filter(item => item !== first)
    for (const order of ordersOf(rest, isNeeded)) orders.push([first, ...order])
    if (!rest.some(isNeeded)) orders.push([first])
  }
  return orders
}

/** Those that raise an epoch, which ends log-ins that are under way too. */
const raisingEndings = ['password', 'disable', 'revoke user', 'revoke client', 'disable client'] as const

const endings = ['client', 'admin', ...raisingEndings] as const

const endStep = (i: number, how: (typeof endings)[number]) =>
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

function endByEpoch({ sessions, epochs }: Story): void {
  for (const { began, model } of sessions) {
    if (began.ada < epochs.ada || began[model.kind] < epochs[model.kind]) model.end ??= 'revoked'
  }
}

/** What a client, an admin and the commands do, and what they leave in the log. */
async function end(world: World, session: Session, how: (typeof endings)[number]): Promise<void> {
  const { ctx, now } = world
  const { db, log } = ctx
  const client_id = session.model.kind
  const user = await ada(world)
  const sub = formatUuid(user.id)
  const logUser = (ending: EpochEnding | undefined, reason: string) =>
    logRevocation(log, { event: 'user_revoked', sub, epoch: ending?.epoch ?? 0 }, { reason, at: now })
  const logClient = (epoch: number | undefined) =>
    logRevocation(
      log,
      { event: 'client_revoked', client_id, epoch: epoch ?? 0 },
      { reason: 'command', at: now },
    )
  switch (how) {
    case 'client': {
      // Of whatever generation.
      const token = session.tokens.get(0) ?? ''
      assert.equal((await world.post('/revoke', { client_id, token })).status, 200)
      return
    }
    case 'admin':
      if (await revokeSession(db, session.id, now, 'command'))
        logRevocation(
          log,
          { event: 'session_revoked', sid: formatUuid(session.id) },
          { reason: 'command', at: now },
        )
      return
    case 'password':
      return logUser(await changePassword(db, user.id, user, now), 'password changed')
    case 'disable':
      logUser(await disableUser(db, user.id, now), 'user disabled')
      return void (await enableUser(db, user.id))
    case 'revoke user':
      return logUser(await raiseUserEpoch(db, user.id, { reason: 'command', now }), 'command')
    case 'revoke client': {
      const { clients } = await raiseClientEpochs(db, client_id, { reason: 'command', now })
      logClient(clients[0]?.epoch)
      return void (await ctx.registry.follow())
    }
    case 'disable client':
      // A replay would disable it again; here it is only told that its sessions have ended.
      logClient((await disableClient(db, client_id, now))?.epoch)
      await enableClient(db, client_id)
      return void (await ctx.registry.follow())
  }
}

const raceStep = (i: number, how: (typeof raisingEndings)[number]) =>
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

const waitStep = (seconds: number) =>
  step(
    seconds < 0 ? `the clock is set back by ${-seconds} s` : `${seconds} s pass`,
    () => true,
    async (_story, world) => {
      world.now += seconds
      return seconds < 0 ? `the clock is set back by ${-seconds} s` : `${seconds} s pass`
    },
  )

const killStep = () =>
  step(
    'the server is killed',
    () => true,
    async (_story, world) => {
      await world.kill()
      return 'the server is killed and started again'
    },
  )

const sweepStep = () =>
  step(
    'ended sessions are swept',
    () => true,
    async (story, { ctx, now }) => {
      const limits = {
        rowsMax: 100,
        deletedMax: 100,
        keepSeconds: 7 * day,
        restSeconds: 0,
        clockSeconds: 10_000 * day,
      }
      await ctx.db.sql.updateTable('sweeper').set({ stepped_at: null }).execute()
      await sweepSessions(ctx.db, { now, ...limits })
      for (const session of story.sessions) {
        if (!(await findSession(ctx.db, session.id))) {
          const isOver = session.model.end !== undefined || session.model.idleEndsAt + 7 * day <= now
          assert.ok(isOver, 'nothing is swept that has not ended')
          session.model.end ??= 'swept'
        }
      }
      return 'ended sessions are swept'
    },
  )

const backupStep = () =>
  step(
    'a backup is made',
    () => true,
    async (story, world) => {
      await world.backup()
      const models = new Map(story.sessions.map(session => [session, structuredClone(session.model)]))
      story.backup = { madeAt: world.now, models, epochs: story.epochs }
      return 'a backup is made'
    },
  )

const restoreStep = (flag: 'replay' | 'accept') =>
  step(
    `the backup is restored (${flag})`,
    story => story.backup !== undefined,
    async (story, world) => {
      const { backup } = story
      if (!backup) throw new Error('there is no backup')
      await world.restore(flag)
      const { madeAt } = backup
      const age = Math.max(0, world.now - madeAt)
      for (const session of story.sessions) {
        const earlier = backup.models.get(session)
        session.model = earlier ? structuredClone(earlier) : { ...session.model, end: 'after the backup' }
        const { model } = session
        if (model.idleEndsAt > madeAt && model.end === undefined) {
          model.idleEndsAt = Math.min(model.idleEndsAt + age, model.absoluteEndsAt)
        }
        if (flag === 'replay' && session.isLogged) model.end ??= 'revoked'
      }
      story.epochs = backup.epochs
      if (flag === 'replay') {
        // An hour for clocks that were set back.
        for (const { owner, to, at } of story.raised) {
          if (at >= madeAt - 3600 && to > story.epochs[owner]) story.epochs = { ...story.epochs, [owner]: to }
        }
        endByEpoch(story)
      }
      story.userIsDisabled = (await ada(world)).disabled_at !== null
      return `the backup is restored (${flag})`
    },
  )

function commandsFor(isEmbedded: boolean): fc.Arbitrary<Step>[] {
  // The first session has the most adventures: rules that count need many of them.
  const nat = fc.constantFrom(0, 0, 0, 0, 1, 2, 3)
  const often = <T>(times: number, one: fc.Arbitrary<T>) => Array.from({ length: times }, () => one)
  const always = [
    ...often(2, fc.constantFrom(...kinds, 'rotate' as const, 'rotate' as const).map(logInStep)),
    ...often(
      8,
      nat.map(i => exchangeStep(i, 'client', true)),
    ),
    ...often(
      3,
      nat.map(i => exchangeStep(i, 'client', false)),
    ),
    ...often(
      5,
      nat.map(i => exchangeStep(i, 'thief', true)),
    ),
    ...often(2, nat.map(stealStep)),
    ...often(
      3,
      nat.map(i => sendStep(i, 'client')),
    ),
    nat.map(i => sendStep(i, 'thief')),
    ...often(2, nat.map(deliverStep)),
    ...often(2, nat.map(receiveStep)),
    nat.map(i => loseStep(i, 'requests')),
    nat.map(i => loseStep(i, 'answers')),
    ...often(
      2,
      fc
        .tuple(nat, fc.option(fc.nat(12), { nil: undefined, freq: 2 }))
        .map(([i, killAfter]) => togetherStep(i, killAfter)),
    ),
    fc.tuple(nat, fc.constantFrom(...endings)).map(([i, how]) => endStep(i, how)),
    fc.tuple(nat, fc.constantFrom(...raisingEndings)).map(([i, how]) => raceStep(i, how)),
    ...often(6, fc.constantFrom(1, 5, 5, 9, 9, 10, 11, 11, 60, 3600, day, 20 * day, 40 * day).map(waitStep)),
    ...often(
      3,
      fc
        .tuple(nat, fc.constantFrom([9, 11] as const, [3, 6] as const, [8, 20 * day] as const))
        .map(([i, [times, seconds]]) => routineStep(i, times, seconds)),
    ),
    fc.constantFrom(-1, -9, -10, -3600).map(waitStep),
    fc.constant(killStep()),
    fc.constant(sweepStep()),
  ]
  if (!isEmbedded) return always
  return [
    ...always,
    ...often(2, fc.constant(backupStep())),
    ...often(2, fc.constantFrom('replay' as const, 'accept' as const).map(restoreStep)),
  ]
}

export interface Stories {
  readonly runs: number
  readonly stepsMax: number
  /** That of a failure, to see it again. */
  readonly seed?: number
}

/** Story after story waits for the disk, where there is no place without one; what a crash leaves is the same in both. */
const fastDirectory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Lives through so many random stories; of one that breaks a rule, the shortest version is told. */
export async function liveThrough(t: Test, env: EngineEnv, { runs, stepsMax, seed }: Stories): Promise<void> {
  const isEmbedded = env['MINTMARK_DATABASE_URL'] === undefined
  const directory = mkdtempSync(join(fastDirectory, 'mintmark-model-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const template = join(directory, 'template')
  await makeTemplate(template, env)
  const cluster = isEmbedded ? undefined : await sharedCluster(t)
  const ownEnv = async () => {
    if (!cluster) return env
    const database = await cluster.createDatabase(
      new URL(env['MINTMARK_DATABASE_URL'] ?? '').pathname.slice(1),
    )
    return { MINTMARK_DATABASE_URL: cluster.url(database) }
  }

  const live = async (steps: Iterable<Step>) => {
    const own = mkdtempSync(join(directory, 'story-'))
    const world = await openWorld(template, own, await ownEnv())
    const story = newStory()
    try {
      await fc.asyncModelRun(() => ({ model: story, real: world }), steps)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new Error(`${message}\n\n${story.told.join('\n')}\n`, { cause: error })
    } finally {
      await world.close()
      rmSync(own, { recursive: true, force: true })
    }
  }
  const stories = fc.commands(commandsFor(isEmbedded), { maxCommands: stepsMax, size: 'max' })
  await fc.assert(fc.asyncProperty(stories, live), {
    numRuns: runs,
    endOnFailure: false,
    ...(seed === undefined ? {} : { seed }),
  })
  t.pass(`${runs} stories`)
}

function newStory(): Story {
  return {
    sessions: [],
    requests: [],
    answers: [],
    backup: undefined,
    userIsDisabled: false,
    epochs: { ada: 0, rotate: 0, strict: 0, reuse: 0 },
    raised: [],
    healed: 0,
    told: [],
  }
}
