import { longestTokenSeconds } from '../protocol/access-token.ts'
import { day } from '../values/duration.ts'

/**
 * How long a session stays after its end: until its last access token has long run out, and its story has
 * been told.
 */
export const keepSeconds = Math.max(7 * day, longestTokenSeconds)
