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
import {
  changeHandler,
  changePage,
  leadToDone,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'

const path = '/account/passkeys'

/** GET and POST /account/passkeys, and /account/passkeys/change for one of them. */
export function passkeysPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, add))
  app.get(`${path}/change`, changePage(ctx, pages, showOne))
  app.post(
    `${path}/change`,
    changeHandler(ctx, pages, change, (_visit, form) => addressOf(form.get('id'))),
  )
}

function addressOf(id: string | undefined): string {
  return id === undefined ? path : `${path}/change?id=${encodeURIComponent(id)}`
}

async function show(visit: OwnVisit): Promise<void> {
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
        setUp: options
          ? passkeySetUp(frame, { path, hidden: [], name: visit.draft['name'] ?? '', options })
          : null,
        signal: isPossible ? passkeySignal(signal) : null,
      }),
    isPossible ? { script: 'passkey' } : {},
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
  if (answer === undefined) return refuse(visit, path, 'passkey_invalid', { name })
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
  return refuse(visit, path, passkeyProblems[added.problem], { name })
}

async function showOne(visit: OwnVisit): Promise<void> {
  const id = queryOf(visit, 'id')
  const { passkeys, rpId } = await findFactors(visit.ctx, visit.owner.user.id)
  const passkey = passkeyDocuments(passkeys).find(one => one.id === id)
  if (!passkey) return leadToDone(visit, path, 'gone')
  const data = { passkey, rpId, typed: visit.draft['name'] ?? passkey.name }
  showOwn(visit, (frame, state) => passkeyChangeView(frame, state, data))
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  const [text, name] = [form.get('id'), form.get('name')]
  const id = text === undefined ? undefined : parseUuid(text)
  if (!id) return leadToDone(visit, path, 'gone')
  if (form.get('decision') === 'remove') return remove(visit, id)
  if (name === undefined || name.trim() === '') return refuse(visit, addressOf(text), 'passkey_name')
  const isRenamed = await renamePasskey(ctx, owner, id, name)
  leadToDone(visit, path, isRenamed ? 'passkey_renamed' : 'gone')
}

async function remove(visit: Change, id: Buffer): Promise<void> {
  const { ctx, owner, form } = visit
  const outcome = await removeFactor(ctx, owner, id)
  if (outcome !== 'removed' && outcome !== 'unknown') return refuse(visit, addressOf(form.get('id')), outcome)
  leadToDone(visit, path, outcome === 'removed' ? 'passkey_removed' : 'gone')
}
