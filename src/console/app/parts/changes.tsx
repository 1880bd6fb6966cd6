import { readSchema } from '../api/schemas.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act } from './act.tsx'
import { Reading } from './reading.tsx'
import { changesIn, SchemaFields } from './schema-fields.tsx'

interface ChangesProps {
  readonly act: string
  readonly title: string
  readonly does: string
  /** The name of the schema that says what there is to say. */
  readonly schema: string
  /** As it is. */
  readonly values: object
  /** Members that are asked for by fields of its own. */
  readonly without?: readonly string[]
  readonly run: (changes: Record<string, unknown>, form: FormData) => Promise<string>
  readonly onDone?: () => void
  readonly children?: preact.ComponentChildren
}

/** A dialog that changes what the API describes: whatever it learns to describe can be changed here. */
export function Changes({ schema: name, values, without = [], run, children, ...act }: ChangesProps) {
  const read = useAnswer(async () => {
    const members = Object.entries(await readSchema(name))
    return Object.fromEntries(members.filter(([name]) => !without.includes(name)))
  }, [name])
  return (
    <Act {...act} run={form => run(changesIn(form, read.value ?? {}, { ...values }), form)}>
      {children}
      <Reading of={read}>{schema => <SchemaFields schema={schema} values={{ ...values }} />}</Reading>
    </Act>
  )
}
