import {
  findDeviceAuthorization,
  notePoll,
  type DeviceAuthorization,
} from '../../db/grants/device-authorizations.ts'
import { openCode } from '../authorization/code.ts'
import { deviceStateOf } from '../authorization/devices.ts'
import { isOf } from '../authorization/requests.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { deviceSeconds, openDeviceCode, pollSeconds } from '../protocol/device-code.ts'
import { requireParameter } from '../protocol/form.ts'
import type { RowToken } from '../protocol/row-token.ts'
import { hashSecret, isSameHash } from '../protocol/secrets.ts'
import type { Granted } from '../sessions/granted.ts'
import { openHere } from '../sessions/token-session.ts'
import type { Grant, TokenRequest } from './grant.ts'
import { isKeyShown, redeem, refusalOf, refuseSecondUse } from './redeem.ts'

/** A poll may come early by so many seconds: times are whole ones, and those before may have been slower. */
const earlySeconds = 1

/**
 * RFC 8628 §3.4: a device asks whether it was approved, and then starts its session, once. A second use is
 * refused and ends the session, as that of an authorization code does.
 */
export const deviceCode: Grant = {
  rank: 'other',
  decide: async (ctx, request) => {
    const token = await open(ctx, requireParameter(request.form, 'device_code'))
    const row = await findDeviceAuthorization(ctx.db, token.id)
    const reason = row && whyNotItsOwn(row, request, token)
    const granted = await answer(ctx, request, row, reason).catch(refusalOf)
    if (!(granted instanceof OAuthError)) return granted
    if (row?.approval !== null) {
      const isProven = row !== undefined && reason === undefined
      const promised = { sessionId: token.id, clientId: row?.client_id ?? '', isProven }
      await refuseSecondUse(ctx, request, promised, refusal)
    }
    throw granted
  },
}

/** Without a row, it has expired long ago. */
async function answer(
  ctx: Context,
  request: TokenRequest,
  row: DeviceAuthorization | undefined,
  reason: string | undefined,
): Promise<Granted> {
  if (!row) throw expired()
  if (reason !== undefined) throw refusal(reason)
  switch (deviceStateOf(row, ctx.clock.now())) {
    case 'approved':
      return start(ctx, request, row)
    case 'denied':
      throw new OAuthError('access_denied', 'the user has not allowed it')
    case 'expired':
      throw expired()
    case 'waiting':
      throw await pending(ctx, row)
  }
}

/** Throws `invalid_grant` for what was not made here; 503 where only another instance can tell. */
async function open(ctx: Context, text: string): Promise<RowToken> {
  const open = () => openDeviceCode(ctx.rootKeys.deviceCodeKeyOf, text)
  const opened = await openHere(ctx, 'a device code', open)
  if (opened.kind === 'genuine') return opened.token
  throw refusal(`it is ${opened.kind.replaceAll('_', ' ')}`)
}

/** Why it is not for the sender, who has to be the client that has asked, with the key shown then. */
function whyNotItsOwn(
  row: DeviceAuthorization,
  { client, confirmation }: TokenRequest,
  { secret }: RowToken,
): string | undefined {
  if (!isOf({ clientId: row.client_id, clientMadeAt: row.client_made_at }, client))
    return "it is another client's"
  if (!isSameHash(row.secret_hash, hashSecret(secret))) return 'its secret is wrong'
  return isKeyShown(row.dpop_jkt, confirmation) ? undefined : 'it is bound to a DPoP key that was not shown'
}

async function start(ctx: Context, request: TokenRequest, row: DeviceAuthorization): Promise<Granted> {
  if (row.expires_at <= ctx.clock.now()) throw expired()
  const code = await openCode(ctx, row.approval ?? '', 'device approval')
  if (!code?.sessionId.equals(row.id)) throw refusal('its approval cannot be read, or is of another device')
  return redeem(ctx, request, code, refusal)
}

/** RFC 8628 §3.5: a device that asks too soon is told to ask less often, each time. */
async function pending({ db, clock }: Context, { id }: DeviceAuthorization): Promise<OAuthError> {
  const isInTime = await notePoll(db, {
    id,
    now: clock.now(),
    earlySeconds,
    slowerSeconds: pollSeconds,
    intervalMax: deviceSeconds,
  })
  if (isInTime) return new OAuthError('authorization_pending', 'nobody has confirmed it yet: ask again later')
  return new OAuthError('slow_down', 'it was asked too soon: wait five seconds more from now on')
}

const expired = () =>
  new OAuthError('expired_token', 'nobody has confirmed it in time: ask for a new device code')

/** One public text for all cases; the log has the cause. */
function refusal(cause: string): OAuthError {
  return new OAuthError(
    'invalid_grant',
    'the device code is not valid, or was used before: ask for a new one',
    { cause },
  )
}
