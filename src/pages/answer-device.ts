import { approveDevice, denyDevice } from '../authorization/devices.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import { mailsOf } from '../mail/notices.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { showMessage } from './message.ts'
import { namesOf, type Visit } from './visit.ts'

/*
 * What a person says of a device is kept until that asks, and the person is told to go back to it.
 */

/** Lets it in. The owner of the account is mailed: it may have been somebody else's device. */
export async function connectDevice(
  visit: Visit,
  request: AuthorizationRequest,
  { client, signIn }: { readonly client: Client; readonly signIn: SignIn },
): Promise<void> {
  const { ctx } = visit
  const notice = { kind: 'device_connected', client: namesOf(client).name } as const
  const mails = mailsOf(ctx, signIn.user, notice)
  const isFirst = await approveDevice(ctx, {
    request,
    caller: deviceCaller(visit.request),
    client,
    signIn,
    mails,
  })
  show(visit, request, isFirst ? 'device_connected' : 'device_answered')
}

/** Keeps it out. */
export async function refuseDevice(
  visit: Visit,
  request: AuthorizationRequest,
  signIn: SignIn | undefined,
): Promise<void> {
  const caller = deviceCaller(visit.request)
  const isFirst = await denyDevice(visit.ctx, { request, caller, userId: signIn?.user_id ?? null })
  show(visit, request, isFirst ? 'device_denied' : 'device_answered')
}

function show(
  visit: Visit,
  { uiLocales }: AuthorizationRequest,
  kind: 'device_connected' | 'device_denied' | 'device_answered',
): void {
  showMessage(visit, { kind, status: 200, uiLocales })
}
