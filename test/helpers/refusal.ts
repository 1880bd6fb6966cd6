import { BearerError } from '../../src/resource-server/bearer-error.ts'

/** Why the kit for resource servers refuses. */
export async function refusal(promise: Promise<unknown>): Promise<BearerError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof BearerError) return error
    throw error
  }
  throw new Error('it was not refused')
}
