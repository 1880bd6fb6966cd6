import type { FastifyInstance } from 'fastify'
import { changeProfile, ownClaims, profileOf, type Profile } from '../../account/profile.ts'
import type { Context } from '../../context.ts'
import type { Form } from '../../protocol/form.ts'
import { openDraft, sealDraft } from '../../account/drafts.ts'
import { languageTags } from '../language.ts'
import type { Pages } from '../pages.ts'
import { knownBrowserOf } from '../proceed.ts'
import { profileView, type ProfileData } from '../views/account/profile.ts'
import { queryOf, type Visit } from '../visit.ts'
import { changeHandler, changePage, leadToDone, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/profile'

/** GET and POST /account/profile: what apps are told of somebody. */
export function profilePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  const backOf = (visit: Visit, form: Form) =>
    `${path}?draft=${sealDraft(ctx, typedOf(form), knownBrowserOf(visit))}`
  app.post(path, changeHandler(ctx, pages, change, backOf))
}

function typedOf(form: Form): Profile {
  return Object.fromEntries(ownClaims.map(name => [name, form.get(name)]))
}

async function show(visit: OwnVisit): Promise<void> {
  const draft = await openDraft(visit.ctx, queryOf(visit, 'draft'), knownBrowserOf(visit))
  showProfile(visit, { profile: draft ?? profileOf(visit.owner.user), wrong: [] })
}

function showProfile(visit: OwnVisit, data: Pick<ProfileData, 'profile' | 'wrong'>): void {
  const languages = languageTags.map(tag => [tag, nameOfLanguage(tag)] as const)
  const problem = data.wrong.length > 0 ? ({ problem: 'wrong_fields', status: 400 } as const) : {}
  showOwn(visit, (frame, state) => profileView(frame, state, { ...data, languages }), problem)
}

/** As it calls itself. */
function nameOfLanguage(tag: string): string {
  return new Intl.DisplayNames([tag], { type: 'language' }).of(tag) ?? tag
}

async function change(visit: Change): Promise<void> {
  const typed = typedOf(visit.form)
  const verdict = await changeProfile(visit.ctx, visit.owner, typed)
  if (verdict.kind === 'wrong') return showProfile(visit, { profile: typed, wrong: verdict.fields })
  if (verdict.kind === 'moved_on') return leadToDone(visit, path, 'try_again')
  leadToDone(visit, '/account', verdict.kind === 'changed' ? 'profile_changed' : 'nothing_changed')
}
