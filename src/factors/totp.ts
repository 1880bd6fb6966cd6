import { Secret, TOTP } from 'otpauth'
import { findTotp, insertTotp, spendStep } from '../../db/factors/totps.ts'
import type { TotpTable, UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import { byOwner, type Owner } from './owner.ts'
import { tryCode, type SecondStep } from './second-step.ts'

/** What all authenticator apps know (RFC 6238 §1.2, Google's Key Uri Format). */
const usual = { algorithm: 'SHA1', digits: 6, period: 30 } as const

/** 160 bits, as RFC 4226 §4 recommends. */
const secretBytes = 20

/** One step before and after count too (RFC 6238 §5.2): people type slowly, and clocks differ. */
const skewSteps = 1

/** A code that fits so many steps off is of an app whose clock is wrong. */
const clockOffSteps = 10

/** How long a set-up may take, in seconds. */
const setUpSeconds = 600

/** An authenticator app that is being set up. Nothing is stored of it. */
export interface PreparedTotp {
  /** In base32 (RFC 4648 §6), to be typed. */
  readonly secret: string
  /** `otpauth://…`, to be scanned. */
  readonly uri: string
  /** The same for the form, which it comes back with; good for ten minutes. */
  readonly sealed: string
}

/** `browser`: SHA-256 of the cookie that tells browsers apart, in base64url. */
export function prepareTotp(ctx: Context, user: UserTable, browser: string): PreparedTotp {
  const { config, rootKeys, clock } = ctx
  const secret = new Secret({ size: secretBytes })
  const totp = new TOTP({ ...usual, secret, issuer: config.name, label: user.username })
  const sealed = sealValue(rootKeys, 'totp set-up', config.issuer, {
    secret: secret.base32,
    user: formatUuid(user.id),
    epoch: user.epoch,
    browser,
    at: clock.now(),
  })
  return { secret: secret.base32, uri: totp.toString(), sealed }
}

interface SetUp {
  readonly secret: string
  readonly user: string
  readonly epoch: number
  readonly browser: string
  readonly at: number
}

/** The set-up of this user in this browser, where it is not over; undefined for any other text. */
async function openSetUp(
  ctx: Context,
  { user }: Pick<Owner, 'user'>,
  { sealed, browser }: { readonly sealed: string; readonly browser: string },
): Promise<Secret | undefined> {
  const content = await openValue(ctx, 'totp set-up', ctx.config.issuer, sealed)
  const setUp = content as unknown as SetUp | undefined
  const isGood =
    setUp?.user === formatUuid(user.id) &&
    setUp.epoch === user.epoch &&
    setUp.browser === browser &&
    Math.abs(ctx.clock.now() - setUp.at) < setUpSeconds
  return isGood ? Secret.fromBase32(setUp.secret) : undefined
}

/** Shows the same once more, as for who has mistyped; undefined where it is over. */
export async function prepareTotpAgain(
  ctx: Context,
  user: UserTable,
  shown: { readonly sealed: string; readonly browser: string },
): Promise<PreparedTotp | undefined> {
  const secret = await openSetUp(ctx, { user }, shown)
  if (!secret) return undefined
  const totp = new TOTP({ ...usual, secret, issuer: ctx.config.name, label: user.username })
  return { secret: secret.base32, uri: totp.toString(), sealed: shown.sealed }
}

/**
 * What became of a set-up: `clock_off` where the app's clock is wrong; `expired` where it is over, or is not
 * of this user and browser; `exists` where the user has an authenticator app already.
 */
export type TotpConfirmation = 'set' | 'wrong' | 'clock_off' | 'expired' | 'exists'

/** Adds the authenticator app, once it has shown a code. That code counts for nothing else any more. */
export async function confirmTotp(
  ctx: Context,
  owner: Owner,
  shown: { readonly sealed: string; readonly code: string; readonly browser: string },
): Promise<TotpConfirmation> {
  const secret = await openSetUp(ctx, owner, shown)
  if (!secret) return 'expired'
  const now = ctx.clock.now()
  const step = stepOf(secret, shown.code, { now, window: skewSteps })
  if (step === undefined) {
    const isOff = stepOf(secret, shown.code, { now, window: clockOffSteps }) !== undefined
    return isOff ? 'clock_off' : 'wrong'
  }
  const { user } = owner
  const totp = { user_id: user.id, ...seal(ctx, user, secret), last_step: step }
  const isSet = await record(
    byOwner(ctx, owner, { kind: 'totp_added' }),
    { event: 'totp_added', userId: user.id },
    db => insertTotp(db, { ...totp, created_at: now, used_at: now }, user),
  )
  if (isSet) return 'set'
  return (await findTotp(ctx.db, user.id)) ? 'exists' : 'expired'
}

/**
 * Takes the code of the user's authenticator app: each step counts once (RFC 6238 §5.2), whichever instance
 * it comes to. Throws `invalid_grant` for any other text, and 429 where too many were wrong.
 */
export async function useTotp(ctx: Context, step: SecondStep, text: string): Promise<void> {
  await tryCode(ctx, step, 'code', async () => {
    const seen = await findTotp(ctx.db, step.user.id)
    return seen !== undefined && spend(ctx, step.user, seen, text)
  })
}

async function spend(ctx: Context, user: UserTable, seen: TotpTable, text: string): Promise<boolean> {
  const opened = ctx.rootKeys.open(purpose, formatUuid(user.id), seen.root_key_id, seen.secret)
  if (!opened)
    throw unavailable(new Error(`the root key ${seen.root_key_id}, which a TOTP needs, is missing`))
  const secret = new Secret({ buffer: new Uint8Array(opened).buffer })
  const now = ctx.clock.now()
  const last_step = stepOf(secret, text, { now, window: skewSteps })
  if (last_step === undefined) return false
  const isOlder = seen.root_key_id !== ctx.rootKeys.currentId
  const sealed = isOlder ? seal(ctx, user, secret) : { secret: seen.secret, root_key_id: seen.root_key_id }
  return spendStep(ctx.db, seen, { ...sealed, last_step, used_at: now })
}

/** The time step of which it is the code; undefined where it is of none within the window. */
function stepOf(
  secret: Secret,
  text: string,
  { now, window }: { readonly now: number; readonly window: number },
): number | undefined {
  const token = text.replace(/\s/g, '')
  const timestamp = now * 1000
  const delta = TOTP.validate({ ...usual, token, secret, timestamp, window })
  return delta === null ? undefined : TOTP.counter({ ...usual, timestamp }) + delta
}

const purpose = 'totp'

function seal({ rootKeys }: Pick<Context, 'rootKeys'>, { id }: UserTable, secret: Secret) {
  const { rootKeyId, sealed } = rootKeys.seal(purpose, formatUuid(id), Buffer.from(secret.bytes))
  return { secret: sealed, root_key_id: rootKeyId } satisfies Partial<TotpTable>
}
