import { Refusal } from '../errors.ts'

/** The value of a YAML or JSON text, which refusals call `name`. Refuses another one, with all reasons. */
export async function parseYaml(name: string, text: string): Promise<unknown> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { prettyErrors: true })
  const mistakes = [...document.errors, ...document.warnings].map(({ message }) => message.trim())
  if (mistakes.length > 0) throw new Refusal('invalid', [`${name} cannot be read:`, ...mistakes].join('\n- '))
  return document.toJS()
}
