import Type from 'typebox'
import type { UsersForm } from '../admin/bulk/entries.ts'
import { startImport } from '../admin/bulk/import-job.ts'
import { pageOfRefused } from '../admin/bulk/job-pieces.ts'
import { dropUpload, receiveUpload, type Upload } from '../admin/bulk/upload.ts'
import { describeJob, existingJob } from '../admin/jobs.ts'
import { ownUuid } from '../protocol/secrets.ts'
import { noCursor, readCursor, writeCursor } from './cursor.ts'
import { accepted } from './jobs.ts'
import { route, type AnyRoute } from './route.ts'
import { pageOf, pageParameters, Uuid } from './schemas.ts'
import type { Received } from './upload.ts'

/** The forms of a file of users, by their media types. */
const forms: ReadonlyMap<string, UsersForm> = new Map([
  ['application/jsonl', 'lines'],
  ['application/x-ndjson', 'lines'],
  ['text/csv', 'csv'],
  ['application/json', 'document'],
])

const importUsersRoute = route(
  {
    method: 'POST',
    url: '/users/imports',
    name: 'importUsers',
    summary:
      'Add the users of a file, with the password hashes that they have: a JSON object in each line, CSV with a ' +
      'header, or one JSON document, also as Keycloak exports it. The job tells how far that has come',
    need: { noun: 'users', isChange: true },
    query: Type.Object(
      {
        dry_run: Type.Optional(
          Type.Boolean({
            description: 'change nothing, and only find out what an import would refuse: of up to 32 MiB',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    upload: {
      types: [...forms.keys()],
      description: 'a file of users',
      receive: async (admin, { type, ...sent }): Promise<Received & { readonly upload: Upload }> => {
        const upload = await receiveUpload(admin, { form: forms.get(type) ?? 'lines', ...sent })
        return { upload, digest: `${type} ${upload.digest}`, drop: () => dropUpload(admin, upload) }
      },
    },
    ...accepted,
  },
  async (admin, { query: { dry_run: isDryRun = false }, received }) => {
    const { upload } = received as Received & { readonly upload: Upload }
    return describeJob(await startImport(admin, upload, { isDryRun }))
  },
)

const Refused = Type.Object(
  {
    entry: Type.Integer({ description: 'its place in the file, counted from 1' }),
    username: Type.Optional(Type.String({ description: 'as it is written, where that can be read' })),
    problem: Type.String({ description: 'why it is no user now' }),
  },
  { title: 'RefusedEntry' },
)

const listRefusedRoute = route(
  {
    method: 'GET',
    url: '/users/imports/:id/refused',
    name: 'listRefusedEntries',
    summary: 'Entries of a file that are no user now, each with its reason, in the order of the file',
    need: { noun: 'users', isChange: false },
    params: Type.Object({ id: Uuid }),
    query: Type.Object(pageParameters, { additionalProperties: false }),
    answer: { status: 200, schema: pageOf(Refused) },
  },
  async (admin, { params, query: { limit = 50, after } }) => {
    const { id } = await existingJob(admin, ownUuid(params.id), ['import_users'])
    const from = Number(readCursor('refused', params, after) ?? 0)
    if (!Number.isSafeInteger(from)) throw noCursor()
    const { refused, next } = await pageOfRefused(admin, id, { after: from, limit })
    return { items: refused, next: writeCursor('refused', params, next?.toString()) }
  },
)

/** `/users/imports`: all the users of another system at once. */
export const importRoutes: readonly AnyRoute[] = [importUsersRoute, listRefusedRoute]
