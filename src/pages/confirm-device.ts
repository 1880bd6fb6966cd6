import type { FastifyInstance } from 'fastify'
import { findDevice } from '../authorization/devices.ts'
import { lookForNeeds } from '../authorization/look.ts'
import { sealRequest } from '../authorization/requests.ts'
import type { Context } from '../context.ts'
import { scopesToAllow } from '../protocol/claims.ts'
import { formOf } from '../protocol/form.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import { formatUserCode } from '../protocol/user-code.ts'
import { networkOf } from '../values/addresses.ts'
import { connectDevice } from './answer-device.ts'
import { describeDetails, describeScopes } from './consent.ts'
import { showMessage } from './message.ts'
import type { Pages } from './pages.ts'
import { answerClient, findStage, follow, goOn, isAsked, type Stage } from './proceed.ts'
import { confirmDeviceView } from './views/confirm-device.ts'
import { anotherHref, namesOf, pageAddress, pageHandler, queryOf, redirectTo, type Visit } from './visit.ts'

const path = '/device/confirm'

/**
 * GET and POST /device/confirm: where a person says whether a device may come in, whatever its client (RFC
 * 8628 §5.4, RFC 10027). The code is shown to be compared with the one on the device, since somebody else may
 * have asked for it, and sent it to this person.
 */
export function confirmDevicePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, pageHandler(ctx, pages, show))
  app.post(path, pageHandler(ctx, pages, decide))
}

/** Where nothing is to be asked any more, as in a second tab, it goes on by itself. */
async function show(visit: Visit): Promise<void> {
  const { ctx, pages, request: sent, reply } = visit
  const stage = await findStage(visit, queryOf(visit, 'request'), path)
  if (!stage) return
  const look = await lookForNeeds(ctx, stage)
  const { client, pending, signIn } = stage
  const { request } = pending
  if (look.need.kind !== 'confirm_device' || !signIn) return follow(visit, stage, look)
  const { device } = await findDevice(ctx, request)
  if (!device) return showMessage(visit, { kind: 'device_expired', status: 400, againHref: '/device' })
  const { zoneinfo } = parseUserClaims(signIn.user.claims)
  const isUnseen = queryOf(visit, 'problem') === 'unseen'
  const data = {
    request: sealRequest(ctx, { ...pending, user: signIn.user_id }),
    client: { ...namesOf(client), operator: client.operator, stranger: null },
    userCode: formatUserCode(request.userCode ?? ''),
    username: signIn.user.username,
    anotherHref: anotherHref(visit, pending),
    scopes: await describeScopes(ctx, { ...client, resource: request.resource }, scopesToAllow(request)),
    details: await describeDetails(ctx, request),
    askedAt: device.created_at,
    zone: typeof zoneinfo === 'string' ? zoneinfo : 'UTC',
    address: device.address,
    isNear: device.source === null ? null : device.source === networkOf(sent.ip),
    isUnseen,
  }
  const { uiLocales } = request
  const status = isUnseen ? 400 : 200
  void pages.show(sent, reply, frame => confirmDeviceView(frame, data), { status, uiLocales })
}

async function decide(visit: Visit): Promise<void> {
  const form = formOf(visit.request.body)
  const stage = await findStage(visit, form.get('request'), path)
  if (!stage) return
  switch (form.get('decision')) {
    case 'deny':
      return answerClient(visit, stage, {
        error: 'access_denied',
        description: 'the user has not allowed it',
      })
    case 'allow':
      return form.get('seen') === '1' ? allow(visit, stage) : askAgain(visit, stage, '&problem=unseen')
    default:
      return askAgain(visit, stage, '')
  }
}

function askAgain(visit: Visit, { pending }: Stage, query: string): void {
  redirectTo(visit, pageAddress(visit, path, sealRequest(visit.ctx, pending)) + query)
}

/** Only the person whom the page has asked may answer, and none who has logged in since. */
async function allow(visit: Visit, stage: Stage): Promise<void> {
  if (!isAsked(stage)) return goOn(visit, { ...stage, pending: { ...stage.pending, user: null } })
  const look = await lookForNeeds(visit.ctx, { ...stage, hasConsented: true })
  if (look.need.kind !== 'code') return follow(visit, stage, look)
  return connectDevice(visit, stage.pending.request, stage)
}
