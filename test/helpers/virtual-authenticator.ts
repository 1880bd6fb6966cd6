import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { CDPSession, Page } from 'playwright-core'
import { insertPasskey } from '../../db/factors/passkeys.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { coseOf } from './authenticator.ts'
import type { TestServer, TestUser } from './server.ts'

/** An authenticator of a real browser's page, which answers by itself as if somebody touched it. */
export interface VirtualAuthenticator {
  readonly cdp: CDPSession
  readonly id: string
  /** Puts a passkey of a user on it, which the server knows, or does not. */
  addPasskey(server: TestServer, user: TestUser, isKnown?: boolean): Promise<Buffer>
  /** The ids of its passkeys, in base64. */
  credentials(): Promise<readonly string[]>
  /** Whether who holds it touches it. */
  touch(does: boolean): Promise<void>
}

export async function addAuthenticator(
  page: Page,
  { hasUserVerification = true } = {},
): Promise<VirtualAuthenticator> {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const { authenticatorId: id } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification,
      isUserVerified: hasUserVerification,
      automaticPresenceSimulation: true,
    },
  })
  const of = { authenticatorId: id }
  return {
    cdp,
    id,
    addPasskey: async ({ ctx }, user, isKnown = true) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const credentialId = randomBytes(32)
      await cdp.send('WebAuthn.addCredential', {
        ...of,
        credential: {
          credentialId: credentialId.toString('base64'),
          isResidentCredential: true,
          rpId: ctx.config.passkeyRpId,
          privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
          userHandle: user.id.toString('base64'),
          signCount: 1,
        },
      })
      if (!isKnown) return credentialId
      const passkey = {
        id: newUuid(ctx.clock.now()),
        user_id: user.id,
        credential_id: credentialId,
        public_key: coseOf(publicKey),
        counter: 0,
        transports: 'internal',
        rp_id: ctx.config.passkeyRpId,
        aaguid: '00000000-0000-0000-0000-000000000000',
        is_synced: 0,
        name: 'Phone',
        spent: '',
        created_at: ctx.clock.now(),
        used_at: null,
      }
      await insertPasskey(ctx.db, passkey, { user: { id: user.id, epoch: 0 }, passkeysMax: 50 })
      return credentialId
    },
    credentials: async () => {
      const { credentials } = await cdp.send('WebAuthn.getCredentials', of)
      return credentials.map(({ credentialId }) => credentialId)
    },
    touch: async does =>
      void (await cdp.send('WebAuthn.setAutomaticPresenceSimulation', { ...of, enabled: does })),
  }
}
