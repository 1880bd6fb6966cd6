import type { Delivery, NewDelivery } from '../../db/push/deliveries.ts'
import { listLoggedOut, takeOfflineSessions, type LoggedOutSession } from '../../db/push/logouts.ts'
import type { EndReason } from '../../db/sessions/end-reasons.ts'
import { clientAlg } from '../clients/client-alg.ts'
import type { Client } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import { logoutTokenClaims, logoutTokenType, type LoggedOut } from '../protocol/logout-token.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import { logsPeopleIn } from '../protocol/request-target.ts'
import { formatUuid, newUuid, parseUuid } from '../protocol/secrets.ts'
import { isObject } from '../values/json.ts'
import { triedSeconds } from './outgoing/back-off.ts'
import type { DeliveryKind, Outcome } from './outgoing/kind.ts'
import type { Answer } from './outgoing/post.ts'

/**
 * A client that has ended its session itself knows of it; its sessions of another issuer it cannot find by
 * what this one says. A copy of the database tells nothing to anybody.
 */
const reasonsNotTold: readonly EndReason[] = ['client', 'issuer changed', 'copied']

export interface LogoutTokenOptions {
  readonly issuer: string
  /** The client as it is now. */
  readonly findClient: (id: string) => Promise<Client | undefined>
  readonly keys: Pick<KeyRing, 'algs' | 'sign'>
  readonly clock: Clock
}

/**
 * Logout tokens (OpenID Connect Back-Channel Logout 1.0): each session of a person that has ended is told to
 * its client, where that wants to know; and a log-out also where the session outlives it (`offline_access`).
 */
export function logoutTokens({ issuer, findClient, keys, clock }: LogoutTokenOptions): DeliveryKind {
  const deliveryOf = ({ id, user_id, client_id }: LoggedOutSession): NewDelivery => {
    const now = clock.now()
    const content: LoggedOut = { sub: formatUuid(user_id), sid: formatUuid(id) }
    return {
      kind: 'logout',
      receiver: client_id,
      subject: id,
      token_id: newUuid(now),
      content: JSON.stringify(content),
      created_at: now,
      expires_at: now + triedSeconds,
    }
  }
  return {
    kind: 'logout',
    spread: {
      revocations: async (sql, rows) => {
        const ids = rows.map(({ session_id }) => session_id)
        return (await listLoggedOut(sql, ids, reasonsNotTold)).filter(isOpenid).map(deliveryOf)
      },
      events: async (sql, rows) => {
        const deliveries: NewDelivery[] = []
        for (const { kind, detail } of rows) {
          const signInId = kind === 'sign_in' ? signInOf(detail) : undefined
          const found = signInId ? await takeOfflineSessions(sql, signInId) : []
          deliveries.push(...found.filter(isOpenid).map(deliveryOf))
        }
        return deliveries
      },
    },
    findReceiver: async id => {
      const client = await findClient(id)
      const uri = client?.back_channel_logout_uri ?? null
      if (!client || uri === null || !logsPeopleIn(client)) return undefined
      return {
        url: new URL(uri),
        clientId: id,
        postOf: async ({ content }: Delivery) => {
          const claims = logoutTokenClaims(JSON.parse(content) as LoggedOut, {
            issuer,
            clientId: id,
            now: clock.now(),
          })
          const alg = clientAlg({ keys }, client, client.id_token_alg)
          const token = await keys.sign(logoutTokenType, alg, claims)
          return {
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body: new URLSearchParams({ logout_token: token }).toString(),
          }
        },
        outcomeOf,
      }
    },
  }
}

/** Without an ID token a client has heard of no session; without log-ins by a browser it has none. */
const isOpenid = ({ scope }: { readonly scope: string }) => hasOpenid(scope)

function signInOf(detail: string | null): Buffer | undefined {
  const { sign_in: id } = JSON.parse(detail ?? '{}') as { readonly sign_in?: string }
  return id === undefined ? undefined : parseUuid(id)
}

/** OpenID Connect Back-Channel Logout 1.0 §2.8: 204 is what some frameworks make of an empty 200. */
function outcomeOf({ status, text }: Answer): Outcome {
  if (status === 200 || status === 204) return { kind: 'delivered' }
  if (status === 400) return { kind: 'refused', reason: errorOf(text) }
  if (status >= 300 && status < 400)
    return { kind: 'failed', reason: `it redirects (${status}), which is not followed` }
  return { kind: 'failed', reason: `it answered ${status}` }
}

/** Its code alone: the rest may repeat what was sent. */
function errorOf(text: string): string {
  try {
    const answer: unknown = JSON.parse(text)
    const error = isObject(answer) ? answer['error'] : undefined
    if (typeof error === 'string' && /^[a-z_]{1,64}$/.test(error)) return error
  } catch {
    // It is no JSON, and need not be.
  }
  return 'it answered 400'
}
