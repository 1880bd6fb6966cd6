import type { Session } from '../../db/sessions/sessions.ts'
import { isBoundTo, type RefreshToken } from '../protocol/refresh-token.ts'

type Binding = Pick<RefreshToken, 'generation' | 'boundTo'>
type Bound = Pick<Session, 'generation' | 'key_thumbprint'>

/**
 * Whether the token is bound to a key and its session is to none: it was bound since the backup that was
 * restored. The session's own token, or one that is newer than what is known of it, binds it again.
 */
export function hasForgottenKey({ boundTo }: Binding, { key_thumbprint }: Bound): boolean {
  return boundTo !== null && key_thumbprint === null
}

/**
 * Whether somebody else has gone on with the session since it had forgotten the key of this token: without a
 * key, or with one of theirs. A binding stays once it is made, so a holder of both key and newest token never
 * gets here.
 */
export function isForked(token: Binding, session: Bound): boolean {
  const { generation, key_thumbprint } = session
  if (hasForgottenKey(token, session)) return token.generation < generation
  return key_thumbprint !== null && !isBoundTo(token, key_thumbprint)
}
