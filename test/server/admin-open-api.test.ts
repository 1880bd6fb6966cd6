import { execFile } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Validator } from '@seriousme/openapi-schema-validator'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import Value from 'typebox/value'
import { adminClient, type Ask } from '../helpers/admin-api.ts'
import { generateTypes } from '../helpers/generated-client.ts'
import { closed, valuesOf, type JsonSchema } from '../helpers/schema-samples.ts'
import { compiler } from '../helpers/packed.ts'
import { notQuick } from '../helpers/runs.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

interface Answer {
  readonly $ref?: string
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>
}

interface Operation {
  readonly operationId: string
  readonly parameters?: readonly {
    readonly in: string
    readonly name: string
    readonly required: boolean
    readonly schema: JsonSchema
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<Record<string, Answer>>
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>
    readonly responses: Readonly<Record<string, Answer>>
  }
}

type Response = Awaited<ReturnType<Ask>>

async function descriptionOf(server: TestServer): Promise<Description> {
  return (await server.request({ url: '/admin/v1/openapi.json' })).json()
}

/** Holds an answer against its description. */
function holds(t: Test, { components }: Description, operation: Operation, answer: Response, title: string) {
  const { statusCode: status, headers, body } = answer
  const found = operation.responses[status]
  const described =
    found?.$ref === undefined ? found : components.responses[found.$ref.split('/').at(-1) ?? '']
  if (!described) return t.fail(`${title}: ${status} is not described`, { body })
  const [[type, content] = []] = Object.entries(described.content ?? {})
  if (type === undefined) return t.equal(body, '', `${title}: ${status} has no body`)
  t.equal(String(headers['content-type']).split(';')[0], type, `${title}: ${status} ${type}`)
  const schema = closed(content?.schema ?? {}, components.schemas)
  const value: unknown = type.endsWith('json') ? answer.json() : body
  const errors = Value.Errors(schema as never, value)
  t.strictSame([...errors].slice(0, 3), [], `${title}: ${status} is as it is described`)
}

interface Sent {
  readonly path: string
  readonly body?: object | string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

const some = (schema: JsonSchema, numRuns: number): readonly unknown[] =>
  fc.sample(valuesOf(schema), { numRuns, seed: 1 })

/** Requests as they are described, of things that there are and of others. */
function goodRequests(path: string, { parameters = [], requestBody }: Operation, known: Known): Sent[] {
  const bodySchema = requestBody?.content['application/json']?.schema
  const bodies = bodySchema ? some(bodySchema, 4) : [undefined]
  const sent = bodies.map((body, i): Sent => {
    const filled = parameters
      .filter(parameter => parameter.in === 'path')
      .reduce((url, { name, schema }) => {
        const value = (i % 2 === 0 ? known[name] : undefined) ?? some(schema, i + 1)[i]
        return url.replace(`{${name}}`, encodeURIComponent(String(value)) || '-')
      }, path)
    return { path: filled, body: body as object | undefined }
  })
  const [first = { path }] = sent
  const queries = parameters
    .filter(parameter => parameter.in === 'query')
    .flatMap(({ name, schema }) => some(schema, 2).map(value => [name, String(value)] as const))
  return [
    ...sent,
    ...queries.map(([name, value]) => ({
      ...first,
      path: `${first.path}?${new URLSearchParams({ [name]: value })}`,
    })),
    ...parameters
      .filter(parameter => parameter.in === 'header')
      .map(({ name, schema }) => ({
        ...first,
        headers: { [name]: schema.pattern === undefined ? '"x"' : String(some(schema, 1)[0]) },
      })),
  ]
}

/** What fills the paths, by the name of the parameter. */
type Known = Readonly<Record<string, string>>

t.test('every route answers as it is described (OpenAPI 3.1)', async t => {
  const server = await startServer(t)
  const document = await descriptionOf(server)
  const names: string[] = []
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const { operationId, responses, requestBody } = operation
      names.push(operationId)
      // One that goes on for ever has a test of its own.
      if (Object.values(responses).some(({ content }) => content?.['text/event-stream'])) continue
      const user = await server.user(`user-${names.length}`)
      const client = await server.client(`client-${names.length}`)
      await server.resource(`https://api-${names.length}.example`)
      const known = {
        sub: user.sub,
        client_id: client.id,
        id: client.id,
        uri: `https://api-${names.length}.example`,
      }
      // Each has a caller of its own, since some end all sessions.
      const ask = await adminClient(server)
      const narrow = await adminClient(server, 'admin:keys:read')
      const verb = method.toUpperCase() as 'GET' | 'POST'
      const send = async (by: Ask, { path, body, headers }: Sent, title: string) => {
        const answer = await by(verb, path.replace('/admin/v1', ''), body, headers)
        holds(t, document, operation, answer, `${operationId}, ${title}`)
        return answer.statusCode
      }
      const good = goodRequests(path, operation, known)
      const [first = { path }] = good
      const isOfKeys = path.startsWith('/admin/v1/keys')
      const unfilled = await send(
        await adminClient(server, 'admin:keys:read'),
        { ...first, path },
        'unfilled',
      )
      if (!isOfKeys) t.ok(unfilled >= 400)
      for (const sent of good) await send(ask, sent, 'as described')
      const refused = { ...first, path: `${first.path}?unknown=1` }
      t.equal(await send(ask, refused, 'an unknown parameter'), 400, operationId)
      if (!isOfKeys) t.ok((await send(narrow, first, 'without the scope')) >= 400)
      const none = await server.request({ method: verb, url: first.path })
      holds(t, document, operation, none, `${operationId}, without a token`)
      t.equal(none.statusCode, 401)
      // A file may be of other types too, and hold anything.
      if (Object.keys(requestBody?.content ?? {}).join(' ') === 'application/json') {
        for (const body of [{ unknown: 1 }, [], '', '{"a":', '1'])
          t.equal(await send(ask, { path: first.path, body }, `${JSON.stringify(body)}`), 400)
        const headers = { 'content-type': 'text/plain' }
        t.equal(await send(ask, { path: first.path, body: 'x', headers }, 'another type'), 415)
        const long = JSON.stringify({ x: 'x'.repeat(256 * 1024) })
        t.equal(await send(ask, { path: first.path, body: long }, 'a long body'), 413)
      }
    }
  }
  t.ok(names.length > 10, 'they are found')
  t.equal(new Set(names).size, names.length, 'each has a name of its own')
  t.notOk(
    server.log.some(({ level }) => Number(level) >= 50),
    'nothing of it is a fault of ours',
  )
})

t.test('the description is a document of OpenAPI 3.1, and says things once', async t => {
  const server = await startServer(t)
  const document = await descriptionOf(server)
  const { valid, errors } = await new Validator().validate(structuredClone(document) as never)
  t.ok(valid, 'it is valid', { errors })
  const operations = Object.values(document.paths).flatMap(item => Object.values(item))
  for (const { operationId, responses } of operations) {
    t.match(operationId, /^[a-z][A-Za-z]+$/)
    for (const status of ['400', '401', '403', '503'])
      t.match(responses[status], { $ref: /^#\/components\/responses\// }, `${operationId} ${status}`)
  }
})

/** Characters of a URL, and so bytes, that a value may take; undefined where nothing bounds it. */
function bytesInUrl(schema: JsonSchema): number | undefined {
  const {
    type,
    maxLength,
    pattern,
    anyOf,
    enum: values,
  } = schema as JsonSchema & {
    readonly maxLength?: number
    readonly anyOf?: readonly JsonSchema[]
    readonly enum?: readonly string[]
  }
  if (anyOf) {
    const all = anyOf.map(bytesInUrl)
    return all.includes(undefined) ? undefined : Math.max(...all.map(Number))
  }
  if (values) return Math.max(...values.map((value: string) => 3 * value.length))
  if (type === 'boolean' || type === 'integer') return 20
  if (maxLength === undefined) return undefined
  const isAscii = pattern !== undefined && ['é', '€', '😀'].every(one => !new RegExp(pattern).test(one))
  return maxLength * (isAscii ? 3 : 12)
}

t.test('all that is sent beside a body has an end, and has room in one request', async t => {
  const document = await descriptionOf(await startServer(t))
  let count = 0
  for (const [path, item] of Object.entries(document.paths)) {
    for (const { operationId, parameters = [] } of Object.values(item)) {
      let bytes = path.length
      for (const { in: place, name, schema } of parameters) {
        count++
        const most = bytesInUrl(closed(schema, document.components.schemas))
        if (most === undefined) t.fail(`${operationId}: ${name} in the ${place} has no end`, { schema })
        if (place !== 'header') bytes += name.length + 2 + (most ?? 0)
      }
      // Node.js takes 16 KiB of a request before its body: the rest is for a token, a proof and a proxy.
      t.ok(bytes < 13.5 * 1024, `${operationId} takes ${bytes} bytes at the most`)
    }
  }
  t.ok(count > 100, 'they are found')
})

const program = `
import createClient from 'openapi-fetch'
import type { paths } from './api.d.ts'

const [, , baseUrl = '', token = ''] = process.argv
const client = createClient<paths>({ baseUrl, headers: { authorization: \`Bearer \${token}\` } })
const made = await client.POST('/admin/v1/users', {
  params: { header: { 'idempotency-key': 'k-1' } },
  body: { username: 'ada', password: 'a wholly new one', roles: ['reader'] },
})
if (!made.data) throw new Error(made.error.detail)
const { sub } = made.data
const etag = made.response.headers.get('etag') ?? ''
const changed = await client.PATCH('/admin/v1/users/{sub}', {
  params: { path: { sub }, header: { 'if-match': etag } },
  body: { roles: [] },
})
const stale = await client.PATCH('/admin/v1/users/{sub}', {
  params: { path: { sub }, header: { 'if-match': etag } },
  body: { roles: ['editor'] },
})
const list = await client.GET('/admin/v1/users', { params: { query: { limit: 1 } } })
const users: readonly string[] | undefined = list.data?.items.map(({ username }) => username)
// @ts-expect-error a name is a text
const wrong = await client.POST('/admin/v1/users', { body: { username: 1, password: 'x' } })
const gone = await client.DELETE('/admin/v1/users/{sub}', { params: { path: { sub } } })
console.log(
  JSON.stringify({
    roles: changed.data?.roles,
    stale: stale.error?.code,
    users,
    wrong: wrong.error?.field,
    gone: gone.response.status,
  }),
)
`

t.test('a client whose types are generated works against a server', notQuick, async t => {
  const server = await startServer(t)
  const folder = scratchFolder(t)
  const root = join(import.meta.dirname, '../..')
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'api.d.ts'), await generateTypes(await descriptionOf(server)))
  writeFileSync(join(folder, 'client.ts'), program)
  // Without what tap gives its child processes.
  const run = async (...args: string[]) =>
    promisify(execFile)('env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], { cwd: folder })
  const options = '--noEmit --strict --target es2024 --module nodenext --types node --skipLibCheck'.split(' ')
  await run(compiler, ...options, '--allowImportingTsExtensions', 'client.ts')

  const id = await server.client('ops', {
    is_admin: 1,
    scope: 'admin:write',
    grant_types: 'client_credentials',
  })
  const { access_token } = (
    await server.post('/token', { grant_type: 'client_credentials', ...id.form })
  ).json()
  const { stdout } = await run('client.ts', await server.listen(), access_token)
  t.strictSame(JSON.parse(stdout), {
    roles: [],
    stale: 'changed',
    users: ['ada'],
    wrong: 'username',
    gone: 204,
  })
})
