import {
  detailTypeSentence,
  detailTypesMax,
  isDetailTypeName,
  readDetailTypes,
  type DetailTypes,
} from '../protocol/detail-types.ts'
import { isObject, isTooDeep } from '../values/json.ts'
import { list, type JsonKind, type Kind } from './property-kinds.ts'
import { property } from './property.ts'

/** The types of authorization details that a client may ask for (RFC 9396 §10). */
export const detailTypesProperty = property({
  kind: list(isDetailTypeName, { takes: 'types of authorization details', sentence: detailTypeSentence }),
  column: 'authorization_details_types',
  group: 'access',
  option: {
    flags: '--authorization-details-type <type...>',
    help: 'the types of authorization details that it may ask for (docs/rich-authorization-requests.md)',
    without: 'none',
  },
})

/** The types of authorization details of a resource (RFC 9396); in a column JSON. */
export const detailTypes: JsonKind<DetailTypes> & Pick<Kind<DetailTypes, string>, 'toColumn' | 'fromColumn'> =
  {
    fallback: {},
    takes: `up to ${detailTypesMax} types by their names: each an object with title, labels and schema`,
    schema: {
      type: 'object',
      maxProperties: detailTypesMax,
      additionalProperties: {
        type: 'object',
        properties: {
          title: { type: 'object', additionalProperties: { type: 'string' } },
          labels: {
            type: 'object',
            additionalProperties: { type: 'object', additionalProperties: { type: 'string' } },
          },
          schema: { type: 'object', additionalProperties: true },
        },
        required: ['title', 'schema'],
        additionalProperties: false,
      },
    },
    // `detailTypesProblem` looks closer, and says what is wrong.
    fromFile: declared =>
      isObject(declared) && !isTooDeep(declared) ? (declared as DetailTypes) : undefined,
    toColumn: types => JSON.stringify(types),
    fromColumn: readDetailTypes,
  }
