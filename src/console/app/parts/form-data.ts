/** What is in a field. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name)
  return typeof value === 'string' ? value.trim() : ''
}

/** The file of a field. */
export function fileOf(form: FormData, name: string): File {
  const value = form.get(name)
  return value instanceof File ? value : new File([], name)
}

/** What is in a field, separated by spaces or on lines of their own, each once. */
export function itemsIn(form: FormData, name: string): string[] {
  return [...new Set(textOf(form, name).split(/\s+/).filter(Boolean))]
}

/**
 * A pattern that this text alone has. It escapes no more than it must: browsers read patterns in the mode
 * `v`, in which `\-` and `\@` are errors, and a field whose pattern is an error takes any text.
 */
export function patternOf(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, character => `\\${character}`)
}
