import { Secret, TOTP } from 'otpauth'
import { findUserById } from '../../db/users/users.ts'
import type { Owner } from '../../src/factors/owner.ts'
import { addPasskey, creationOptions } from '../../src/factors/passkeys.ts'
import { renewRecoveryCodes } from '../../src/factors/recovery-codes.ts'
import { confirmTotp, prepareTotp } from '../../src/factors/totp.ts'
import { softAuthenticator } from './authenticator.ts'
import type { TestServer, TestUser } from './server.ts'

/** The authenticator app of a user. */
export interface App {
  /** Its code of now, or of so many steps later. */
  code(steps?: number): string
}

/** Whose account it is, as somebody who has shown it. */
export async function ownerOf({ ctx }: TestServer, { id }: TestUser): Promise<Owner> {
  const user = await findUserById(ctx.db, id)
  if (!user) throw new Error('there is no such user')
  return { user, caller: { requestId: 'request', address: '198.51.100.7' } }
}

export function appOf(server: TestServer, secret: string): App {
  const totp = new TOTP({ secret: Secret.fromBase32(secret) })
  return { code: (steps = 0) => totp.generate({ timestamp: (server.ctx.clock.now() + 30 * steps) * 1000 }) }
}

/** Sets an authenticator app up; the code of now is used with it. */
export async function withApp(server: TestServer, user: TestUser): Promise<App> {
  const owner = await ownerOf(server, user)
  const { secret, sealed } = prepareTotp(server.ctx, owner.user, 'browser')
  const app = appOf(server, secret)
  const what = await confirmTotp(server.ctx, owner, { sealed, code: app.code(), browser: 'browser' })
  if (what !== 'set') throw new Error(what)
  server.tick(60)
  return app
}

export async function recoveryCodesOf(server: TestServer, user: TestUser): Promise<readonly string[]> {
  return renewRecoveryCodes(server.ctx, await ownerOf(server, user))
}

/** Sets up a passkey of a user, as the account page would. */
export async function withPasskey(server: TestServer, user: TestUser) {
  const { ctx } = server
  const owner = await ownerOf(server, user)
  const options = await creationOptions(ctx, owner.user, 'account')
  const { response, passkey } = softAuthenticator(new URL(ctx.config.issuer).origin).create(options)
  const added = await addPasskey(ctx, owner, response, 'account', 'Phone')
  if ('problem' in added) throw new Error(added.problem)
  return passkey
}
