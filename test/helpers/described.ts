import type { Test } from 'tap'
import Value from 'typebox/value'
import { isObject } from '../../src/values/json.ts'
import type { Ask } from './admin-api.ts'

type Part = Readonly<Record<string, unknown>>

/** The same caller, each of whose answers is compared with what the OpenAPI document says of it. */
export async function asDescribed(t: Test, ask: Ask): Promise<Ask> {
  const document = (await ask('GET', '/openapi.json')).json()
  const described: Ask = async (method, path, payload, headers) => {
    const answer = await ask(method, path, payload, headers)
    const schema = schemaOf(document, method, path, answer.statusCode)
    if (answer.body === '') t.equal(schema, undefined, `${method} ${path} has no body`)
    else {
      const problems = schema === undefined ? ['it is not described'] : Value.Errors(schema, answer.json())
      t.strictSame(problems, [], `${method} ${path} answers ${answer.statusCode} as described`)
    }
    return answer
  }
  described.at = server => ask.at(server)
  described.credentials = ask.credentials
  return described
}

function schemaOf(document: Part, method: string, path: string, status: number): Part | undefined {
  const [asked = ''] = `/admin/v1${path}`.split('?')
  const [, operations] =
    Object.entries(membersOf(document['paths'])).find(([template]) =>
      new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(asked),
    ) ?? []
  const operation = membersOf(membersOf(operations)[method.toLowerCase()])
  const answer = membersOf(resolved(document, membersOf(operation['responses'])[status]))
  const [content] = Object.values(membersOf(answer['content']))
  const { schema } = membersOf(content)
  return isObject(schema) ? membersOf(schema) : undefined
}

/** With all that it refers to in its place, and nothing allowed that it does not name. */
function resolved(document: Part, value: unknown): unknown {
  if (Array.isArray(value)) return value.map(item => resolved(document, item))
  if (!isObject(value)) return value
  const { $ref: ref }: Part = membersOf(value)
  if (typeof ref === 'string') {
    const found = ref
      .split('/')
      .slice(1)
      .reduce<unknown>((part, name) => membersOf(part)[name], document)
    return resolved(document, found)
  }
  const members = Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, resolved(document, member)]),
  )
  return members['type'] === 'object' && isObject(members['properties'])
    ? { additionalProperties: false, ...members }
    : members
}

function membersOf(value: unknown): Part {
  return isObject(value) ? Object.fromEntries(Object.entries(value)) : {}
}
