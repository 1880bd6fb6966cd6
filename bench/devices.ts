import { findClient } from '../db/clients/clients.ts'
import type { DeviceAuthorization } from '../db/grants/device-authorizations.ts'
import { issueCode } from '../src/authorization/code.ts'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import { openInstallation } from '../src/installation/open.ts'
import { plainRequest } from '../src/protocol/authorization-request.ts'
import { deviceSeconds, pollSeconds, sealDeviceCode } from '../src/protocol/device-code.ts'
import { deviceGrant } from '../src/protocol/grant-types.ts'
import { hashSecret, newSessionSecret, newUuid } from '../src/protocol/secrets.ts'
import { basicOf, deviceClientIds, resource, scope } from './clients.ts'
import { headers } from './callers.ts'
import type { Mintmark } from './mintmark.ts'
import { addPeople, issuerOf } from './people.ts'

/** A device that has asked. */
export interface WaitingDevice {
  readonly clientId: string
  readonly deviceCode: string
}

/** The headers of a client of devices. */
export const deviceHeaders = (clientId: string) => ({ ...headers, authorization: basicOf(clientId) })

/** The token request of a device (RFC 8628 §3.4). */
export const pollForm = ({ deviceCode }: WaitingDevice): string =>
  `grant_type=${encodeURIComponent(deviceGrant)}&device_code=${deviceCode}`

/** Adds devices that wait, or were approved, as the endpoint and the page do. */
export async function openDevices({
  settings,
  url,
}: Mintmark): Promise<(count: number, isApproved: boolean) => Promise<WaitingDevice[]>> {
  const config = loadConfig(settings, '.')
  const clock = systemClock()
  const installation = await openInstallation(config, clock, { mayCreate: false })
  const { rootKeys } = installation
  const { currentId: rootKeyId, deviceCodeKeyOf } = rootKeys
  const clients = await Promise.all(deviceClientIds.map(id => findClient(installation.db, id)))
  const people = await addPeople(installation.db, clock.now(), 'device-owner')
  await installation.db.close()
  const ctx = { config: { issuer: await issuerOf(url) }, rootKeys, clock }

  const approvalOf = (id: Buffer, i: number) => {
    const client = clients[i % clients.length]
    const user = people[i % people.length]
    if (!client || !user) throw new Error('unreachable: both were added')
    return issueCode(
      ctx,
      {
        request: {
          ...plainRequest,
          sessionId: id,
          clientId: client.id,
          redirectUri: '',
          scope,
          resource,
          madeAt: clock.now(),
        },
        logIn: { user_epoch: 0, auth_time: clock.now(), amr: 'pwd' },
        signIn: null,
        user,
        client,
        scope,
        consentId: null,
      },
      'device approval',
    )
  }
  const newDevice = (i: number, isApproved: boolean) => {
    const client = clients[i % clients.length]
    if (!client) throw new Error('unreachable: it was added')
    const now = clock.now()
    const [id, secret] = [newUuid(now), newSessionSecret()]
    const row: DeviceAuthorization = {
      id,
      client_id: client.id,
      client_made_at: client.created_at,
      secret_hash: hashSecret(secret),
      user_code_hash: id,
      scope,
      resource,
      authorization_details: null,
      acr_values: '',
      dpop_jkt: null,
      address: '192.0.2.1',
      source: null,
      created_at: now,
      expires_at: now + deviceSeconds,
      interval_seconds: pollSeconds,
      polled_at: null,
      decided_at: isApproved ? now : null,
      approval: isApproved ? approvalOf(id, i) : null,
    }
    const deviceCode = sealDeviceCode(deviceCodeKeyOf, { rootKeyId, id, secret })
    return { row, device: { clientId: client.id, deviceCode } }
  }
  return async (count, isApproved) => {
    const { db } = await openInstallation(config, clock, { mayCreate: false })
    const devices: WaitingDevice[] = []
    while (devices.length < count) {
      const some = Array.from({ length: Math.min(1000, count - devices.length) }, (_, j) =>
        newDevice(devices.length + j, isApproved),
      )
      await db.sql
        .insertInto('device_authorizations')
        .values(some.map(({ row }) => row))
        .execute()
      devices.push(...some.map(({ device }) => device))
    }
    await db.close()
    return devices
  }
}
