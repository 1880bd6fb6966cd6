import { answerTo, type Outcome } from '../authorization/answers.ts'
import type { Client } from '../clients/registry.ts'
import type { Recipient } from '../protocol/authorization-request.ts'
import { showMessage } from './message.ts'
import { namesOf, redirectTo, type Visit } from './visit.ts'

/**
 * Answers a client: by a redirect, or by a form that the browser posts. Where the redirect URI is registered
 * no more, nothing goes to it, and the person is told.
 */
export function sendAnswer(visit: Visit, client: Client, recipient: Recipient, outcome: Outcome): void {
  const { ctx, pages, request, reply } = visit
  const answer = answerTo(ctx, client, recipient, outcome)
  if (!answer) return showMessage(visit, { kind: 'redirect_uri_unregistered', status: 400, client })
  if (answer.kind === 'redirect') return redirectTo(visit, answer.uri)
  const { uri, parameters } = answer
  void pages.showFormPost(request, reply, { clientName: namesOf(client).name, uri, parameters })
}
