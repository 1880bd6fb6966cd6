import assert from 'node:assert/strict'
import type fc from 'fast-check'
import type { UserTable } from '../../db/schema.ts'
import { findUser } from '../../db/users/users.ts'
import type { SessionModel } from './oracle.ts'
import type { World } from './world.ts'

/** A log-in, as the story knows it. */
export interface Session {
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
export type Owner = 'ada' | SessionModel['kind']

type Epochs = Readonly<Record<Owner, number>>

export interface Request {
  readonly session: Session
  readonly from: 'client' | 'thief'
  readonly generation: number
}

export interface Answer {
  readonly request: Request
  readonly generation: number | undefined
}

/** What has happened so far, and what is on its way. */
export interface Story {
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

export type Step = fc.AsyncCommand<Story, World, true>

export const day = 86_400

/** A step with a name. It tells in the story what it does. */
export function step(
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

export function clock(now: number): string {
  return `day ${Math.floor((now - 1_900_000_000) / day)}, ${new Date(now * 1000).toISOString().slice(11, 19)}:`
}

export const pick = <T>(items: readonly T[], i: number): T => {
  const item = items[i % items.length]
  if (item === undefined) throw new Error('there is nothing to pick from')
  return item
}

/**
 * The server heals where the database has gone back, and nowhere else: healing would hide that something was
 * lost.
 */
function checkHealing(story: Story, world: World): void {
  assert.equal(countHealed(world), story.healed, 'each healing follows a restore')
}

export function countHealed({ log }: World): number {
  return log.filter(line => line['event'] === 'session_healed').length
}

export async function ada({ ctx }: World): Promise<UserTable> {
  const user = await findUser(ctx.db, 'ada')
  if (!user) throw new Error('the user is gone')
  return user
}

export function isHealing(model: SessionModel, generation: number, now: number): boolean {
  return model.end === undefined && generation > model.newest && now < model.absoluteEndsAt
}

export function endByEpoch({ sessions, epochs }: Story): void {
  for (const { began, model } of sessions) {
    if (began.ada < epochs.ada || began[model.kind] < epochs[model.kind]) model.end ??= 'revoked'
  }
}

export function newStory(): Story {
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
