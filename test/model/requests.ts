import assert from 'node:assert/strict'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { present, type SessionModel } from './oracle.ts'
import { isHealing, pick, step, type Answer, type Request, type Session, type Story } from './story.ts'
import type { World } from './world.ts'

/** What a token says of itself. */
export function read(token: string): { id: Buffer; generation: number } {
  const bytes = Buffer.from(token.slice('mm_rt_'.length, -6), 'base64url')
  return { id: bytes.subarray(5, 21), generation: bytes.readUInt32BE(21) }
}

export const sendStep = (i: number, from: Request['from']) =>
  step(
    `the ${from} sends its token`,
    ({ sessions }) => sessions.some(session => from === 'client' || session.stolen !== undefined),
    async story => {
      const request = newRequest(story, i, from)
      story.requests.push(request)
      return `the ${from} of ${request.session.name} sends generation ${request.generation}`
    },
  )

/**
 * What a client or a thief does most of the time: it sends, and has its answer at once, unless that is lost.
 */
export const exchangeStep = (i: number, from: Request['from'], isReceived: boolean) =>
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
export const routineStep = (i: number, times: number, seconds: number) =>
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

export const stealStep = (i: number) =>
  step(
    'a thief copies a token',
    story => story.sessions.length > 0,
    async story => {
      const session = pick(story.sessions, i)
      session.stolen = session.held
      return `a thief copies generation ${session.held} of ${session.name}`
    },
  )

export async function refresh(world: World, { session, generation }: Request): Promise<number | undefined> {
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

/**
 * The answer must be the one that the rules give, and an honest client must never be refused without one of
 * three reasons.
 */
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

export const deliverStep = (i: number) =>
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

export function noteTheft(session: Session, before: SessionModel, { log }: World): void {
  if (before.end !== undefined || session.model.end !== 'theft') return
  const sid = formatUuid(session.id)
  session.isLogged ||= log.some(line => line['event'] === 'session_revoked' && line['sid'] === sid)
}

export const receiveStep = (i: number) =>
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

export const loseStep = (i: number, what: 'requests' | 'answers') =>
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
