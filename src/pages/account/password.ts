import type { FastifyInstance } from 'fastify'
import { changeOwnPassword } from '../../account/password.ts'
import { countOwnTokens } from '../../account/tokens.ts'
import type { Context } from '../../context.ts'
import { judgeNewPassword, type PasswordProblem } from '../../users/new-passwords.ts'
import type { Pages } from '../pages.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { passwordView } from '../views/account/password.ts'
import {
  changeHandler,
  changePage,
  leadToDone,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'
import { renewDeviceToken } from './places.ts'

const path = '/account/password'

/** GET and POST /account/password. */
export function passwordPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, change))
}

async function show(visit: OwnVisit): Promise<void> {
  const { username } = visit.owner.user
  const hasTokens = (await countOwnTokens(visit.ctx, visit.owner)) > 0
  showOwn(visit, (frame, state) => passwordView(frame, state, { username, hasTokens }))
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, pages, reply, form } = visit
  const [password, repeat] = [form.get('password'), form.get('repeat')]
  if (password === undefined || repeat === undefined) return refuse(visit, path, 'password_missing')
  if (password !== repeat) return refuse(visit, path, 'password_repeat')
  const problem = await judgeNewPassword(password, { user: owner.user, operator: ctx.config.name })
  if (problem) return refuse(visit, path, problemOf(password, problem))
  const changed = await changeOwnPassword(ctx, owner, password)
  if (!changed) return leadToDone(visit, path, 'try_again')
  const { cookie, user } = changed
  const isPersistent = owner.signIn.is_persistent === 1
  const seconds = Math.max(owner.signIn.expires_at - ctx.clock.now(), 1)
  pages.cookies.signIn.set(reply, cookie, isPersistent ? seconds : null)
  renewDeviceToken(visit, user)
  leadToDone(visit, '/account', 'password_changed')
}

function problemOf(password: string, { kind }: PasswordProblem): AccountProblem {
  if (kind !== 'form') return 'password_common'
  if ([...password].length < 8) return 'password_short'
  return Buffer.byteLength(password) > 1024 ? 'password_long' : 'password_characters'
}
