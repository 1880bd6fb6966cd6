import Type from 'typebox'
import { describeJob, existingJob, jobActs, pageOfJobs, stopJob, type JobAct } from '../admin/jobs.ts'
import { ownUuid } from '../protocol/secrets.ts'
import type { AdminCaller, Need, Noun } from './caller.ts'
import { readIdCursor, writeIdCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time, TimeOrNull, Uuid } from './schemas.ts'

/** A long work, which goes on without its caller. */
export const Job = Type.Object(
  {
    id: Uuid,
    act: Type.Union([Type.Literal('end_sessions'), Type.Literal('import_users')]),
    choice: Type.Record(Type.String(), Type.Unknown(), { description: 'what was asked for' }),
    actor: Type.String({ description: 'who has asked, as the audit trail has it' }),
    state: Type.Union(
      ['receiving', 'running', 'done', 'stopped', 'failed'].map(state => Type.Literal(state)),
      { description: '`receiving`: its file arrives; `failed`: it cannot go on, and `problem` says why' },
    ),
    done: Type.Integer({ description: 'sessions that have ended, or entries of the file' }),
    refused: Type.Union([Type.Integer(), Type.Null()], {
      description:
        'of an import: entries that are no user now, which are listed at `/users/imports/{id}/refused`',
    }),
    total: Type.Union([Type.Integer(), Type.Null()], { description: 'null where it is not known' }),
    result: Type.Union([
      Type.Object({ sessions_revoked: Type.Integer() }),
      Type.Object({ users_created: Type.Integer(), entries_refused: Type.Integer() }),
      Type.Object({ users_to_create: Type.Integer(), entries_refused: Type.Integer() }),
      Type.Null(),
    ]),
    problem: Type.Union([Type.String(), Type.Null()], { description: 'why it has failed' }),
    created_at: Time,
    ended_at: TimeOrNull,
  },
  { title: 'Job' },
)

/** An answer that a job goes on after. */
export const accepted = {
  answer: { status: 202, schema: Job },
  location: ({ id }: { readonly id: string }) => `/jobs/${id}`,
} as const

const ofJob = { params: Type.Object({ id: Uuid }) }

const see = { noun: 'sessions', orNoun: 'users', isChange: false } as const
const change = { noun: 'sessions', orNoun: 'users', isChange: true } as const

const nouns: Readonly<Record<JobAct, Noun>> = { end_sessions: 'sessions', import_users: 'users' }

/** What the jobs do that this caller is shown, or may stop. */
function actsFor({ may }: AdminCaller, { isChange }: Need): readonly JobAct[] {
  return jobActs.filter(act => may({ noun: nouns[act], isChange }))
}

const listJobsRoute = route(
  {
    method: 'GET',
    url: '/jobs',
    name: 'listJobs',
    summary: 'Long works, the newest first; they are kept 7 days after their end',
    need: see,
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(Job) },
  },
  async (admin, { query: { limit = 50, after }, caller }) => {
    const page = { acts: actsFor(caller, see), after: readIdCursor('jobs', {}, after), limit }
    const { jobs, next } = await pageOfJobs(admin, page)
    return { items: jobs.map(describeJob), next: writeIdCursor('jobs', {}, next) }
  },
)

const readJobRoute = route(
  {
    method: 'GET',
    url: '/jobs/:id',
    name: 'readJob',
    summary: 'One long work, and how far it has come',
    need: see,
    ...ofJob,
    answer: { status: 200, schema: Job },
    hasEtag: true,
  },
  async (admin, { params: { id }, caller }) =>
    describeJob(await existingJob(admin, ownUuid(id), actsFor(caller, see))),
)

const stopJobRoute = route(
  {
    method: 'DELETE',
    url: '/jobs/:id',
    name: 'stopJob',
    summary: 'Stop a long work after the step that is under way; what is done stays done',
    need: change,
    ...ofJob,
    answer: { status: 200, schema: Job },
  },
  async (admin, { params: { id }, caller }) =>
    describeJob(await stopJob(admin, ownUuid(id), actsFor(caller, change))),
)

/** `/jobs`: long works. */
export const jobRoutes: readonly AnyRoute[] = [listJobsRoute, readJobRoute, stopJobRoute]
