import { Secret, TOTP } from 'otpauth'
import { confirmTotp, prepareTotp } from '../../src/factors/totp.ts'
import { rowOf } from './account.ts'
import type { TestServer, TestUser } from './server.ts'

const caller = { address: '192.0.2.1', requestId: 'set-up' }
const browser = 'the browser of a set-up'

/** Sets up an authenticator app for a user; what it shows now, or some seconds from now. */
export async function setUpTotp(
  server: Pick<TestServer, 'ctx' | 'tick'>,
  owner: Pick<TestUser, 'id'>,
): Promise<(secondsFromNow?: number) => string> {
  const { ctx } = server
  const user = await rowOf(server as TestServer, owner)
  const { secret, sealed } = prepareTotp(ctx, user, browser)
  const totp = new TOTP({ secret: Secret.fromBase32(secret) })
  const code = (secondsFromNow = 0) => totp.generate({ timestamp: (ctx.clock.now() + secondsFromNow) * 1000 })
  const outcome = await confirmTotp(ctx, { user, caller }, { sealed, code: code(), browser })
  if (outcome !== 'set') throw new Error(`the authenticator app was not set up: ${outcome}`)
  // A code counts once, that of the set-up too.
  server.tick(30)
  return code
}
