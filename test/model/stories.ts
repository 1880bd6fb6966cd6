import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Test } from 'tap'
import { findSession } from '../../db/sessions/sessions.ts'
import { sweepSessions } from '../../db/sessions/sweeper.ts'
import { type EngineEnv } from '../helpers/engines.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'
import { endings, endStep, logInStep, raceStep, raisingEndings } from './endings.ts'
import {
  deliverStep,
  exchangeStep,
  loseStep,
  receiveStep,
  routineStep,
  sendStep,
  stealStep,
} from './requests.ts'
import { ada, day, endByEpoch, newStory, step, type Step } from './story.ts'
import { togetherStep } from './together.ts'
import { kinds, makeTemplate, openWorld } from './world.ts'

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
      const { madeAt } = backup
      // A session that has expired and is gone cannot be told from one that was revoked, and no log tells of
      // it: it is asked about.
      const mayBeSwept = [...backup.models.values()].some(
        ({ end, idleEndsAt }) =>
          end === undefined && idleEndsAt > madeAt && idleEndsAt + 7 * day <= world.now,
      )
      await world.restore(flag, mayBeSwept)
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

/** Lives through so many random stories; of one that breaks a rule, the shortest version is told. */
export async function liveThrough(t: Test, env: EngineEnv, { runs, stepsMax, seed }: Stories): Promise<void> {
  const isEmbedded = env['MINTMARK_DATABASE_URL'] === undefined
  const directory = scratchFolder(t)
  const template = join(directory, 'template')
  await makeTemplate(template, env)
  const cluster = isEmbedded ? undefined : await sharedPostgres()
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
