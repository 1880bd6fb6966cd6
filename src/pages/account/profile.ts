import type { FastifyInstance } from 'fastify'
import { changeProfile, ownClaims, profileOf, wrongFields, type Profile } from '../../account/profile.ts'
import type { Context } from '../../context.ts'
import type { Form } from '../../protocol/form.ts'
import { draftPath } from '../drafts.ts'
import { languageTags } from '../language.ts'
import type { Pages } from '../pages.ts'
import { profileView } from '../views/account/profile.ts'
import type { Visit } from '../visit.ts'
import {
  changeHandler,
  changePage,
  leadToDone,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'

const path = '/account/profile'

/** GET and POST /account/profile: what apps are told of somebody. */
export function profilePage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  const backOf = (visit: Visit, form: Form) => draftPath(visit, path, typedOf(form))
  app.post(path, changeHandler(ctx, pages, change, backOf))
}

function typedOf(form: Form): Profile {
  return Object.fromEntries(ownClaims.map(name => [name, form.get(name)]))
}

async function show(visit: OwnVisit): Promise<void> {
  const { problem, ...typed } = visit.draft
  const isTyped = Object.keys(typed).length > 0
  const profile = isTyped ? typed : profileOf(visit.owner.user)
  const wrong = problem === undefined ? [] : wrongFields(typed)
  const languages = languageTags.map(tag => [tag, nameOfLanguage(tag)] as const)
  showOwn(visit, (frame, state) => profileView(frame, state, { profile, wrong, languages }))
}

/** As it calls itself. */
function nameOfLanguage(tag: string): string {
  return new Intl.DisplayNames([tag], { type: 'language' }).of(tag) ?? tag
}

async function change(visit: Change): Promise<void> {
  const typed = typedOf(visit.form)
  const verdict = await changeProfile(visit.ctx, visit.owner, typed)
  if (verdict.kind === 'wrong') return refuse(visit, path, 'wrong_fields', typed)
  if (verdict.kind === 'moved_on') return leadToDone(visit, path, 'try_again')
  leadToDone(visit, '/account', verdict.kind === 'changed' ? 'profile_changed' : 'nothing_changed')
}
