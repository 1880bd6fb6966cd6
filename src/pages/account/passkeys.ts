import type { FastifyInstance } from 'fastify'
import { removeFactor } from '../../account/removal.ts'
import type { Context } from '../../context.ts'
import { findFactors, usablePasskeys } from '../../factors/factors.ts'
import {
  addPasskey,
  creationOptions,
  passkeyDocuments,
  passkeysPossible,
  renamePasskey,
  type AddPasskeyProblem,
} from '../../factors/passkeys.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import type { Pages } from '../pages.ts'
import { browserOf } from '../proceed.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { passkeyChangeView, passkeysView } from '../views/account/passkeys.ts'
import { passkeySetUp, passkeySignal } from '../views/passkey.ts'
import { queryOf } from '../visit.ts'
import { afterNewFactor } from './new-factor.ts'
import { changeHandler, changePage, leadToDone, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/passkeys'

/** GET and POST /account/passkeys, and /account/passkeys/change for one of them. */
export function passkeysPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(
    path,
    changePage(ctx, pages, async visit => show(visit)),
  )
  app.post(path, changeHandler(ctx, pages, add))
  app.get(`${path}/change`, changePage(ctx, pages, showOne))
  const backOf = (id: string | undefined) =>
    id === undefined ? path : `${path}/change?id=${encodeURIComponent(id)}`
  app.post(
    `${path}/change`,
    changeHandler(ctx, pages, change, (_visit, form) => backOf(form.get('id'))),
  )
}

async function show(visit: OwnVisit, problem?: AccountProblem): Promise<void> {
  const { ctx, owner } = visit
  const { config } = ctx
  const factors = await findFactors(ctx, owner.user.id)
  const isPossible = passkeysPossible(config)
  const options = isPossible ? await creationOptions(ctx, owner.user, browserOf(visit)) : undefined
  const signal = {
    rpId: config.passkeyRpId,
    userId: owner.user.id.toString('base64url'),
    allAcceptedCredentialIds: usablePasskeys(factors).map(passkey =>
      passkey.credential_id.toString('base64url'),
    ),
  }
  showOwn(
    visit,
    (frame, state) =>
      passkeysView(frame, state, {
        passkeys: passkeyDocuments(factors.passkeys),
        rpId: factors.rpId,
        setUp: options ? passkeySetUp(frame, { path, hidden: [], options }) : null,
        signal: isPossible ? passkeySignal(signal) : null,
      }),
    { problem, status: problem === undefined ? 200 : 400, ...(isPossible && { script: 'passkey' }) },
  )
}

export const passkeyProblems: Readonly<Record<Exclude<AddPasskeyProblem, 'used'>, AccountProblem>> = {
  expired: 'passkey_expired',
  exists: 'passkey_exists',
  unverified: 'passkey_unverified',
  too_many: 'passkey_too_many',
  invalid: 'passkey_invalid',
}

async function add(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  const [answer, name = ''] = [form.get('passkey'), form.get('name')]
  if (answer === undefined) return show(visit, 'passkey_invalid')
  const added = await addPasskey(ctx, owner, answer, browserOf(visit), name)
  if (!('problem' in added))
    return afterNewFactor(visit, {
      notice: 'passkey_added',
      amr: added.amr,
      next: path,
      isAccount: true,
    })
  // Sent twice: the first time it was added.
  if (added.problem === 'used') return leadToDone(visit, path, 'passkey_added')
  return show(visit, passkeyProblems[added.problem])
}

async function showOne(visit: OwnVisit): Promise<void> {
  return showChange(visit, queryOf(visit, 'id'))
}

async function showChange(
  visit: OwnVisit,
  id: string | undefined,
  { problem, typed }: { readonly problem?: AccountProblem; readonly typed?: string } = {},
): Promise<void> {
  const { passkeys, rpId } = await findFactors(visit.ctx, visit.owner.user.id)
  const passkey = passkeyDocuments(passkeys).find(one => one.id === id)
  if (!passkey) return leadToDone(visit, path, 'gone')
  const data = { passkey, rpId, typed: typed ?? passkey.name }
  const status = problem === undefined ? 200 : 400
  showOwn(visit, (frame, state) => passkeyChangeView(frame, state, data), { problem, status })
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  const [text, name] = [form.get('id'), form.get('name')]
  const id = text === undefined ? undefined : parseUuid(text)
  if (!id) return leadToDone(visit, path, 'gone')
  if (form.get('decision') === 'remove') return remove(visit, id)
  if (name === undefined || name.trim() === '') return showChange(visit, text, { problem: 'passkey_name' })
  const isRenamed = await renamePasskey(ctx, owner, id, name)
  leadToDone(visit, path, isRenamed ? 'passkey_renamed' : 'gone')
}

async function remove(visit: Change, id: Buffer): Promise<void> {
  const { ctx, owner, form } = visit
  const outcome = await removeFactor(ctx, owner, id)
  if (outcome !== 'removed' && outcome !== 'unknown')
    return showChange(visit, form.get('id'), { problem: outcome })
  leadToDone(visit, path, outcome === 'removed' ? 'passkey_removed' : 'gone')
}
