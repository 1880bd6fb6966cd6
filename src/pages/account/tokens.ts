import type { FastifyInstance } from 'fastify'
import { endOwnTokens, listOwnTokens, listTokenApis, makeOwnToken } from '../../account/tokens.ts'
import type { Resource } from '../../clients/registry.ts'
import type { Context } from '../../context.ts'
import type { Form } from '../../protocol/form.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import { mayHave, personalTokensMax, type PersonalTokenProblem } from '../../sessions/personal-tokens.ts'
import { day } from '../../values/duration.ts'
import { itemsOf } from '../../values/list.ts'
import { describeScopes } from '../consent.ts'
import { draftPath, type Draft } from '../drafts.ts'
import type { Pages } from '../pages.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import {
  newTokenView,
  scopeField,
  tokenApisView,
  tokensView,
  tokenView,
  type NewTokenData,
  type TokensData,
} from '../views/account/tokens.ts'
import { queryOf, type Visit } from '../visit.ts'
import {
  changeHandler,
  changePage,
  leadToDone,
  ownPage,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'

const path = '/account/tokens'
const newPath = `${path}/new`

/** GET and POST /account/tokens, and /account/tokens/new, which makes one. */
export function tokensPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, ownPage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, end))
  app.get(newPath, changePage(ctx, pages, showForm))
  const backOf = (visit: Visit, form: Form) => draftPath(visit, formPath(form.get('resource')), typedOf(form))
  app.post(newPath, changeHandler(ctx, pages, make, backOf))
}

function formPath(resource: string | undefined): string {
  return resource === undefined ? newPath : `${newPath}?${new URLSearchParams({ resource })}`
}

async function show(visit: OwnVisit): Promise<void> {
  const { ctx, owner } = visit
  const listed = await listOwnTokens(ctx, owner)
  const apis = await listTokenApis(ctx)
  const tokens: TokensData['tokens'][number][] = []
  for (const token of listed) {
    const api = apis.find(({ uri }) => uri === token.resource)
    const scopes = await wordsOf(ctx, token.resource, itemsOf(token.scope))
    tokens.push({ ...token, isOfUse: api !== undefined, scopes })
  }
  const count = listed.filter(({ isOver }) => !isOver).length
  const data = { tokens, isFull: count >= personalTokensMax, isOff: apis.length === 0 }
  showOwn(visit, (frame, state) => tokensView(frame, state, data))
}

async function wordsOf(ctx: Context, resource: string | null, scopes: readonly string[]) {
  const words = await describeScopes(ctx, { resource, resources: '' }, scopes)
  // Of an API that was deleted it is not this server's scope of the same name.
  return words.map(scope => ({ ...scope, isOfServer: false }))
}

async function end(change: Change): Promise<void> {
  const { ctx, owner, form } = change
  const id = parseUuid(form.get('id') ?? '')
  const which = form.get('decision') === 'end_all' ? 'all' : id
  const ended = which ? await endOwnTokens(ctx, owner, which) : 0
  const notice = which === 'all' ? 'tokens_ended' : 'token_ended'
  leadToDone(change, path, ended > 0 ? notice : 'gone')
}

async function showForm(visit: OwnVisit): Promise<void> {
  const { ctx } = visit
  const apis = await listTokenApis(ctx)
  const [only, ...others] = apis
  const named = queryOf(visit, 'resource')
  const api = named === undefined && others.length === 0 ? only : apis.find(({ uri }) => uri === named)
  if (api) return showFormFor(visit, api)
  if (!only || named !== undefined) return refuse(visit, path, 'token_api')
  const uris = apis.map(({ uri }) => uri)
  showOwn(visit, (frame, state) => tokenApisView(frame, state, { uris, path: newPath }))
}

/** For how long a token may be made, in days. */
const dayChoices = [7, 30, 90, 180, 365]
const usualDays = 90

async function showFormFor(visit: OwnVisit, { uri, scope }: Resource): Promise<void> {
  const { ctx, owner, draft } = visit
  const scopes = await wordsOf(ctx, uri, itemsOf(scope))
  const isPossible = ({ name }: NewTokenData['scopes'][number]) => mayHave(name, owner.signIn.amr)
  const data: NewTokenData = {
    resource: uri,
    name: draft['name'] ?? '',
    scopes: scopes.filter(isPossible),
    scopesBeyond: scopes.filter(one => !isPossible(one)),
    chosen: itemsOf(draft['scope'] ?? ''),
    dayChoices,
    days: dayChoices.find(days => String(days) === draft['days']) ?? usualDays,
  }
  showOwn(visit, (frame, state) => newTokenView(frame, state, data))
}

function typedOf(form: Form): Draft {
  const chosen = [...form.keys()].filter(field => field.startsWith(scopeField))
  const scope = chosen.map(field => field.slice(scopeField.length)).join(' ')
  return { name: form.get('name')?.trim(), scope, days: form.get('days') }
}

const problems = {
  name: 'token_name',
  name_taken: 'token_name_taken',
  end: 'token_end',
  scope: 'token_scope',
  second_factor: 'token_second_factor',
  resource: 'token_api',
  off: 'token_api',
  too_many: 'token_too_many',
} as const satisfies Readonly<Record<Exclude<PersonalTokenProblem, 'gone'>, AccountProblem>>

/** The token is shown once, with the answer itself: in no address, and in no row. */
async function make(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  const typed = typedOf(form)
  const { name = '', scope = '', days } = typed
  const resource = form.get('resource') ?? ''
  const wish = { name, scope: itemsOf(scope), seconds: Number(days) * day, resource }
  const made = await makeOwnToken(ctx, owner, wish)
  if (made === 'gone') return leadToDone(visit, path, 'try_again')
  if (typeof made !== 'string') {
    const data = { name, text: made.text, resource }
    return showOwn(visit, (frame, state) => tokenView(frame, state, data))
  }
  const problem = problems[made]
  const isOfForm = made !== 'resource' && made !== 'off' && made !== 'too_many'
  refuse(visit, isOfForm ? formPath(resource) : path, problem, isOfForm ? typed : {})
}
