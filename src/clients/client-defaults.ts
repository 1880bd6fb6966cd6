import { fapiDefaults } from './judge-fapi.ts'
import { plainProperties, type PropertyValues } from './properties.ts'

/** The properties of a new client, of which this is said: the rest follows from its profile. */
export function withDefaults(said: Partial<PropertyValues>): PropertyValues {
  return { ...plainProperties, ...(said.profile === 'fapi2' && fapiDefaults(said)), ...said }
}
