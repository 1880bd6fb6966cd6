import { Option, type CommandUnknownOpts } from '@commander-js/extra-typings'
import {
  properties,
  propertyNames,
  someProperties,
  type AnyProperty,
  type PropertyValues,
} from '../../clients/properties.ts'
import type { Group, PropertyOption } from '../../clients/property.ts'
import type { Argument } from '../../clients/property-kinds.ts'
import { duration, several } from '../shell/options.ts'

/** Adds the options of these groups of properties, in the order of the groups. */
export function addProperties<Verb extends CommandUnknownOpts>(
  verb: Verb,
  use: 'create' | 'update',
  groups: readonly Group[],
): Verb {
  for (const group of groups) {
    for (const name of propertyNames) {
      const property: AnyProperty = properties[name]
      if (property.group !== group || property.option === null) continue
      for (const option of optionsOf(property.option, property.kind.argument, use)) verb.addOption(option)
    }
  }
  return verb
}

function optionsOf(
  { flags, help, updateHelp = help, without }: PropertyOption,
  argument: Argument,
  use: 'create' | 'update',
): readonly Option[] {
  if (use === 'create') {
    const option = withArgument(new Option(flags, help), argument)
    return [argument.form === 'choice' ? option.default(argument.fallback) : option]
  }
  if (updateHelp === null) return []
  const option = withArgument(new Option(flags, updateHelp), argument)
  return without === undefined ? [option] : [option, new Option(`--no-${longName(flags)}`, without)]
}

function withArgument(option: Option, argument: Argument): Option {
  switch (argument.form) {
    case 'none':
    case 'text':
      return option
    case 'choice':
      return option.choices(argument.choices)
    case 'items':
      return option.argParser(several(argument.isItem, argument.sentence))
    case 'duration':
      return option.argParser(duration(argument.min, argument.max))
  }
}

/** `scope` of `--scope <scope...>`. */
function longName(flags: string): string {
  return new Option(flags).name()
}

/** What the options of a verb say of a client. */
export function givenProperties(verb: CommandUnknownOpts): Partial<PropertyValues> {
  return someProperties((_, { kind, option }) => {
    if (option === null) return undefined
    const attribute = new Option(option.flags).attributeName()
    // Its default is shown in the help, and was not given.
    if (verb.getOptionValueSource(attribute) === 'default') return undefined
    const given: unknown = verb.getOptionValue(attribute)
    return given === undefined || given === null ? undefined : kind.fromOption(given)
  })
}
