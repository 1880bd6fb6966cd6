import type { Outcome } from '../authorization/answers.ts'
import { decideDevice } from '../authorization/devices.ts'
import type { PendingRequest } from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import { mailsOf } from '../mail/notices.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { showMessage } from './message.ts'
import { namesOf, type Visit } from './visit.ts'

/**
 * Keeps what was said of a device until that asks, and tells the person to go back to it. The owner of the
 * account is mailed where it was let in: it may have been somebody else's device.
 */
export async function answerDevice(
  visit: Visit,
  { request }: Pick<PendingRequest, 'request'>,
  outcome: Outcome,
  { client, signIn }: { readonly client: Client; readonly signIn: SignIn | undefined },
): Promise<void> {
  const { ctx } = visit
  const approval = 'code' in outcome ? outcome.code : null
  const notice = { kind: 'device_connected', client: namesOf(client).name } as const
  const isFirst = await decideDevice(ctx, {
    request,
    approval,
    userId: signIn?.user_id ?? null,
    caller: deviceCaller(visit.request),
    mails: approval !== null && signIn ? mailsOf(ctx, signIn.user, notice) : [],
  })
  const kind = approval === null ? 'device_denied' : 'device_connected'
  showMessage(visit, { kind: isFirst ? kind : 'device_answered', status: 200, uiLocales: request.uiLocales })
}
