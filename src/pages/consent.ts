import type { FastifyInstance } from 'fastify'
import { rememberConsent } from '../authorization/consents.ts'
import { keptClient } from '../authorization/kept-client.ts'
import { lookForNeeds } from '../authorization/look.ts'
import { sealRequest } from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import { wordsOf } from '../clients/scope-words.ts'
import type { Context } from '../context.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { scopesToAllow } from '../protocol/claims.ts'
import { hostOfDocument } from '../protocol/document-url.ts'
import type { AuthorizationDetails } from '../protocol/authorization-details.ts'
import { findDetailType } from '../protocol/detail-types.ts'
import { formOf } from '../protocol/form.ts'
import { showMessage } from './message.ts'
import type { Pages } from './pages.ts'
import { answerClient, findStage, follow, goOn, isAsked, type Stage } from './proceed.ts'
import { consentView, type ConsentData } from './views/consent.ts'
import type { DetailInWords } from './views/details.ts'
import { anotherHref, leadTo, namesOf, pageHandler, queryOf, type Visit } from './visit.ts'

/** GET and POST /consent: where a person says whether a client may have what it asks for. */
export function consentPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get('/consent', pageHandler(ctx, pages, show))
  app.post('/consent', pageHandler(ctx, pages, decide))
}

/** Where nothing is to be asked any more, as in a second tab, it goes on by itself. */
async function show(visit: Visit): Promise<void> {
  const stage = await findStage(visit, queryOf(visit, 'request'), '/consent')
  if (!stage) return
  const look = await lookForNeeds(visit.ctx, stage)
  if (look.need.kind !== 'consent' || !stage.signIn) return follow(visit, stage, look)
  const { ctx, pages, request, reply } = visit
  const { client, pending, signIn } = stage
  const { resource } = pending.request
  const data = {
    request: sealRequest(ctx, { ...pending, user: signIn.user_id }),
    client: { ...namesOf(client), operator: client.operator, stranger: strangerOf(client, pending.request) },
    username: signIn.user.username,
    anotherHref: anotherHref(visit, pending),
    scopes: await describeScopes(ctx, { ...client, resource }, scopesToAllow(pending.request)),
    details: await describeDetails(ctx, pending.request),
  }
  const { uiLocales } = pending.request
  void pages.show(request, reply, frame => consentView(frame, data), { uiLocales })
}

/** Of a client that no administrator has made: what is known of it, and where it leads. */
function strangerOf(
  client: Client,
  { redirectUri }: AuthorizationRequest,
): ConsentData['client']['stranger'] {
  if (client.made_by === 'administrator') return null
  const { host, protocol } = new URL(redirectUri)
  return {
    host: client.made_by === 'document' ? hostOfDocument(client.id) : null,
    claimedName: client.claimed_name,
    goesTo: host || protocol,
    isProgram: protocol !== 'https:',
  }
}

/** Where no resource is meant, the scope counts for all that the client may ask for. */
export async function describeScopes(
  { clients }: Pick<Context, 'clients'>,
  { resource, resources }: { readonly resource: string | null; readonly resources: string },
  scopes: readonly string[],
): Promise<ConsentData['scopes']> {
  const known = await clients.registry.findResources(resource ?? resources)
  const isOfServer = known.length === 0
  return scopes.flatMap(name => wordsOf(known, name).map(words => ({ name, isOfServer, words })))
}

/** Details with the words that their resource has for them now. */
export async function describeDetails(
  { clients }: Pick<Context, 'clients'>,
  { resource, details }: { readonly resource: string | null; readonly details: AuthorizationDetails },
): Promise<readonly DetailInWords[]> {
  if (details.length === 0) return []
  const [known] = await clients.registry.findResources(resource ?? '')
  return details.map(detail => ({ detail, type: known && findDetailType(known, detail.type) }))
}

async function decide(visit: Visit): Promise<void> {
  const form = formOf(visit.request.body)
  const stage = await findStage(visit, form.get('request'), '/consent')
  if (!stage) return
  const { pending } = stage
  switch (form.get('decision')) {
    case 'deny':
      return answerClient(visit, stage, {
        error: 'access_denied',
        description: 'the user has not allowed it',
      })
    case 'allow':
      return allow(visit, stage)
    default:
      return leadTo(visit, '/consent', pending)
  }
}

/** Only the person whom the page has asked may answer, and none who has logged in since. */
async function allow(visit: Visit, stage: Stage): Promise<void> {
  if (!isAsked(stage)) return goOn(visit, { ...stage, pending: { ...stage.pending, user: null } })
  const { ctx } = visit
  const { request } = stage.pending
  // For a device this page says too little: that has one of its own.
  const look = await lookForNeeds(ctx, { ...stage, hasConsented: request.userCode === null })
  if (look.need.kind !== 'code') return follow(visit, stage, look)
  const { user } = stage.signIn
  const caller = deviceCaller(visit.request)
  const client = await keptClient(ctx, stage.client, { user, caller })
  if (!client) return showMessage(visit, { kind: 'apps_exceeded', status: 400 })
  // Also where it is asked each time: then people can see what they have allowed, and take it back.
  const consent = {
    user,
    client,
    resource: request.resource,
    scope: scopesToAllow(request),
    details: request.details,
  }
  const allowed = await rememberConsent(ctx, consent, caller)
  return follow(visit, { ...stage, client }, { ...look, allowed })
}
