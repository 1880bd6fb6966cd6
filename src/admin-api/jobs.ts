import Type from 'typebox'
import { describeJob, existingJob, pageOfJobs, stopJob } from '../admin/jobs.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { readIdCursor, writeIdCursor } from './cursor.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Time, Uuid } from './schemas.ts'

/** A long work, which goes on without its caller. */
export const Job = Type.Object(
  {
    id: Uuid,
    act: Type.Literal('end_sessions'),
    choice: Type.Record(Type.String(), Type.Unknown(), { description: 'what was asked for' }),
    actor: Type.String({ description: 'who has asked, as the audit trail has it' }),
    state: Type.Union([Type.Literal('running'), Type.Literal('done'), Type.Literal('stopped')]),
    done: Type.Integer(),
    total: Type.Union([Type.Integer(), Type.Null()], { description: 'null where it is not known' }),
    result: Type.Union([Type.Object({ sessions_revoked: Type.Integer() }), Type.Null()]),
    created_at: Time,
    ended_at: Type.Union([Time, Type.Null()]),
  },
  { title: 'Job' },
)

/** An answer that a job goes on after. */
export const accepted = {
  answer: { status: 202, schema: Job },
  location: ({ id }: { readonly id: string }) => `/jobs/${id}`,
} as const

const ofJob = { params: Type.Object({ id: Uuid }) }

/** All that jobs do so far is to end sessions. */
const see = { noun: 'sessions', isChange: false } as const
const change = { noun: 'sessions', isChange: true } as const

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
  async (admin, { query: { limit = 50, after } }) => {
    const { jobs, next } = await pageOfJobs(admin, { after: readIdCursor('jobs', {}, after), limit })
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
  async (admin, { params: { id } }) => describeJob(await existingJob(admin, ownUuid(id))),
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
  async (admin, { params: { id } }) => describeJob(await stopJob(admin, ownUuid(id))),
)

/** `/jobs`: long works. */
export const jobRoutes: readonly AnyRoute[] = [listJobsRoute, readJobRoute, stopJobRoute]
