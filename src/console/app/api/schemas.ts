import { settings } from '../settings.ts'
import { Problem } from './problem.ts'

/** What may be said of a member, as the description of the API has it (JSON Schema). */
export interface MemberSchema {
  readonly type?: string | readonly string[]
  readonly enum?: readonly string[]
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
}

export type ObjectSchema = Readonly<Record<string, MemberSchema>>

let document: Promise<any> | undefined

/** The members of an object that the API describes under this name. So forms know what there is to change. */
export async function readSchema(name: string): Promise<ObjectSchema> {
  document ??= fetchDocument().catch((error: unknown) => {
    document = undefined
    throw error
  })
  return (await document).components.schemas[name].properties
}

async function fetchDocument(): Promise<unknown> {
  const response = await fetch(`${settings.base}/admin/v1/openapi.json`)
  if (response.ok) return response.json()
  throw new Problem({
    status: response.status,
    code: 'unexpected',
    detail: 'The description of the API cannot be read.',
  })
}
