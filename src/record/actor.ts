import { formatUuid, parseUuid } from '../protocol/secrets.ts'

/** Where a request has come from. */
export interface RequestOrigin {
  readonly requestId: string
  /** Of the user's device, or of what is nearest to it. */
  readonly address: string
}

/** Who does something. */
export type Actor =
  | { readonly kind: 'command'; readonly user: string }
  | { readonly kind: 'client'; readonly id: string; readonly caller: RequestOrigin }
  /** A person at a page, who is logged in or has just proved who it is. */
  | { readonly kind: 'user'; readonly id: Buffer; readonly caller: RequestOrigin }
  | { readonly kind: 'server' }
  /** A request that has not been authenticated. */
  | { readonly kind: 'nobody'; readonly caller: RequestOrigin }

/** As the audit trail names the actor: `client ID`, `command USER`, `user SUB`, `server` or `nobody`. */
export function nameOf(actor: Actor): string {
  switch (actor.kind) {
    case 'command':
      return `command ${actor.user}`
    case 'client':
      return `client ${actor.id}`
    case 'user':
      return `user ${formatUuid(actor.id)}`
    default:
      return actor.kind
  }
}

/** Who has asked for something, by the name that `nameOf` gave, and where from. */
export function actorNamed(name: string, caller: RequestOrigin): Actor {
  const [kind, id = ''] = name.split(' ', 2)
  const userId = kind === 'user' ? parseUuid(id) : undefined
  if (userId) return { kind: 'user', id: userId, caller }
  if (kind === 'client') return { kind: 'client', id, caller }
  if (kind === 'command') return { kind: 'command', user: name.slice('command '.length) }
  return { kind: 'server' }
}

/** As the log names the actor: the id of a client, or the kind. */
export function shortNameOf(actor: Actor): string {
  return actor.kind === 'client' ? actor.id : actor.kind
}

/** Where the actor's request has come from; undefined for commands and for what the server does by itself. */
export function originOf(actor: Actor): RequestOrigin | undefined {
  return 'caller' in actor ? actor.caller : undefined
}
