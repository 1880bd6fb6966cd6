import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { findSession } from '../../db/sessions/sessions.ts'
import { heal, present, type SessionModel } from './oracle.ts'
import { noteTheft, refresh } from './requests.ts'
import { countHealed, isHealing, pick, step, type Request, type Session, type Story } from './story.ts'
import type { World } from './world.ts'

/**
 * Several requests of one session arrive at the same moment; with `killAfter`, the server dies so many turns
 * later.
 */
export const togetherStep = (i: number, killAfter: number | undefined) =>
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

/**
 * Some order of the requests must explain the answers and what the database holds now. One without an answer
 * may count or not.
 */
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
