import type { FastifyInstance } from 'fastify'
import { confirmAddress, findVerification } from '../account/verification.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { formOf } from '../protocol/form.ts'
import { leadBack } from './drafts.ts'
import type { Pages } from './pages.ts'
import { currentSignIn } from './proceed.ts'
import { formAddress, refusedForm, statusOf } from './recovery.ts'
import { verifyView } from './views/recovery.ts'
import { showMessage } from './message.ts'
import { pageHandler, queryOf, type Visit } from './visit.ts'

/** GET and POST /verify: where the link leads that verifies a mail address. A GET changes nothing. */
export function verifyPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(
    '/verify',
    pageHandler(ctx, pages, visit => show(visit, queryOf(visit, 'link') ?? '')),
  )
  app.post('/verify', pageHandler(ctx, pages, decide))
}

async function show(visit: Visit, link: string): Promise<void> {
  const { ctx, pages, request, reply } = visit
  const found = await findVerification(ctx, link)
  if (typeof found === 'string') return showMessage(visit, { kind: found, status: 400 })
  const signIn = await currentSignIn(visit)
  const asksName = signIn?.user_id.equals(found.user.id) !== true
  const { typed, problem } = await refusedForm(visit)
  const username = typed['username'] ?? ''
  const data = { link, address: found.link.mail, asksName, username, problem }
  void pages.show(request, reply, frame => verifyView(frame, data), { status: statusOf(problem) })
}

async function decide(visit: Visit): Promise<void> {
  const { ctx, request } = visit
  const form = formOf(request.body)
  const link = form.get('link') ?? ''
  const loggedIn = (await currentSignIn(visit))?.user
  const confirmation = { loggedIn, username: form.get('username'), caller: deviceCaller(request) }
  const outcome = await confirmAddress(ctx, link, confirmation)
  if (outcome.kind === 'confirmed') return showMessage(visit, { kind: 'address_confirmed', status: 200 })
  if (outcome.problem === 'wrong_username')
    return leadBack(visit, formAddress('/verify', { link }), {
      problem: 'wrong_username',
      username: form.get('username'),
    })
  showMessage(visit, { kind: outcome.problem, status: 400 })
}
