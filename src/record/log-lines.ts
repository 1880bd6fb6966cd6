import { formatUuid } from '../protocol/secrets.ts'
import { shortNameOf, type Actor } from './actor.ts'
import type { EndedEpoch, EndedEpochs, EndedSession, Event } from './events.ts'
import type { RevocationLine } from './restore-log.ts'

/** The lines of the log from which a restored backup learns of the events. */
export function linesOf(actor: Actor, events: readonly Event[]): readonly RevocationLine[] {
  const by = shortNameOf(actor)
  const many = events.filter(isOneOfMany)
  const [first] = many
  const own = events.filter(event => !isOneOfMany(event)).flatMap(event => linesOfOne(event, by))
  if (!first) return own
  const { at, detail } = first
  const sids = many.map(({ sessionId }) => sessionId)
  return [{ by, revocation: { event: 'sessions_revoked', sids, reason: detail.reason, at } }, ...own]
}

function isOneOfMany(event: Event): event is EndedSession & Event<'session_revoked'> {
  return event.event === 'session_revoked' && 'isOneOfMany' in event && event.isOneOfMany === true
}

function linesOfOne(event: Event, by: string): readonly RevocationLine[] {
  switch (event.event) {
    case 'session_revoked':
      return 'at' in event ? [lineOfSession(event, by)] : []
    case 'session_theft':
      return [lineOfTheft(event)]
    case 'code_replayed':
      return [lineOfReplayedCode(event)]
    case 'user_revoked':
      return 'ended' in event ? [lineOfUser(event, by)] : []
    case 'user_password_changed':
    case 'user_disabled':
    case 'user_deleted':
      return [lineOfUser(event, by)]
    case 'client_disabled':
    case 'client_deleted':
      return [{ by, revocation: { event: 'client_revoked', clientId: event.clientId, ...event.ended } }]
    case 'client_revoked':
    case 'issuer_changed':
      return 'ended' in event ? linesOfClients(event.ended, by) : []
    case 'key_revoked':
      return [lineOfKey(event, by)]
    case 'all_keys_revoked':
      return linesOfRestart(event, by)
    default:
      return []
  }
}

function lineOfSession(event: EndedSession, by: string): RevocationLine {
  const { sessionId: sid, userId, clientId, at, detail, tokenType } = event
  const { reason } = detail
  const more = {
    client_id: clientId,
    ...(userId && { sub: formatUuid(userId) }),
    ...(tokenType && { token_type: tokenType }),
  }
  return {
    // The server ends it, though the client's log-in was the cause.
    by: reason === 'limit' ? 'server' : by,
    revocation: { event: 'session_revoked', sid, reason, at },
    ...(reason !== 'command' && { more }),
  }
}

function lineOfTheft({ sessionId: sid, clientId, at, detail }: Event<'session_theft'>): RevocationLine {
  const { presented, current } = detail
  return {
    by: 'server',
    revocation: { event: 'session_revoked', sid, reason: 'theft', at },
    more: { client_id: clientId, presented, current },
    warning: 'a refresh token was reused by two holders',
  }
}

function lineOfReplayedCode({
  sessionId: sid,
  clientId,
  at,
  detail,
}: Event<'code_replayed'>): RevocationLine {
  return {
    by: 'server',
    revocation: { event: 'session_revoked', sid, reason: 'code used twice', at },
    more: { client_id: clientId, presented_by: detail.presented_by },
    warning: 'an authorization code was used twice',
  }
}

interface EndedUser {
  readonly userId: Buffer
  readonly ended: EndedEpoch
}

function lineOfUser({ userId: sub, ended }: EndedUser, by: string): RevocationLine {
  return { by, revocation: { event: 'user_revoked', sub, ...ended } }
}

function linesOfClients({ clients, reason, at }: EndedEpochs, by: string): readonly RevocationLine[] {
  return clients.map(({ id: clientId, epoch }) => ({
    by,
    revocation: { event: 'client_revoked', clientId, epoch, reason, at },
  }))
}

function lineOfKey({ at, detail }: Event<'key_revoked'>, by: string): RevocationLine {
  const { kid, alg, state, reason } = detail
  return {
    by,
    revocation: { event: 'key_revoked', kid, reason, at },
    more: { alg, state },
    warning: 'a signing key was revoked',
  }
}

function linesOfRestart({ ended, detail }: Event<'all_keys_revoked'>, by: string): readonly RevocationLine[] {
  const { kids, reason, root_key_from: rootKeyFrom, root_key_to: rootKeyTo } = detail
  const { at } = ended
  const restart: RevocationLine = {
    by,
    revocation: { event: 'all_keys_revoked', kids, rootKeyFrom, rootKeyTo, reason, at },
    warning: 'all signing keys were revoked, and all sessions ended',
  }
  return [restart, ...linesOfClients(ended, by)]
}
