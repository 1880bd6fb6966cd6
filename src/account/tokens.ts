import { listPersonalTokens, type PersonalToken } from '../../db/sessions/personal-tokens.ts'
import { tokensClientId } from '../clients/tokens-client.ts'
import type { Resource } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { byOwner } from '../factors/owner.ts'
import {
  endPersonalTokens,
  makePersonalToken,
  takesPersonalTokens,
  type MadePersonalToken,
  type PersonalTokenProblem,
  type PersonalTokenWish,
} from '../sessions/personal-tokens.ts'
import { day } from '../values/duration.ts'
import type { Owner } from './owner.ts'

/** So long a token is shown after its time has run out, in seconds; then its row is swept. */
const shownSeconds = 7 * day

/** The APIs for which people can make tokens now. */
export async function listTokenApis({ clients: { registry } }: Context): Promise<readonly Resource[]> {
  const client = await registry.findClient(tokensClientId)
  // Before the first token there is no such client.
  if (client && client.disabled_at !== null) return []
  return (await registry.listResources()).filter(takesPersonalTokens)
}

export interface OwnToken extends PersonalToken {
  /** Whether its time has run out. */
  readonly isOver: boolean
}

/** The owner's tokens that live, the newest first, and those whose time has run out in the last days. */
export async function listOwnTokens(
  ctx: Context,
  { user }: Pick<Owner, 'user'>,
): Promise<readonly OwnToken[]> {
  const now = ctx.clock.now()
  const tokens = await listPersonalTokens(ctx.db, user.id, { now: now - shownSeconds })
  return tokens.map(token => ({ ...token, isOver: token.expires_at <= now }))
}

/** How many tokens of the owner live. */
export async function countOwnTokens(ctx: Context, { user }: Pick<Owner, 'user'>): Promise<number> {
  return (await listPersonalTokens(ctx.db, user.id, { now: ctx.clock.now() })).length
}

/** Makes a token, or says why not. It has what the present log-in has shown. */
export async function makeOwnToken(
  ctx: Context,
  owner: Owner,
  wish: PersonalTokenWish & { readonly resource: string },
): Promise<MadePersonalToken | PersonalTokenProblem> {
  const { user, signIn, caller } = owner
  const maker = {
    by: byOwner(ctx, owner, { kind: 'personal_access_token_created', name: wish.name }),
    rootKeys: ctx.rootKeys,
    nextStatusPosition: ctx.sessions.nextStatusPosition,
  }
  const resource = (await listTokenApis(ctx)).find(({ uri }) => uri === wish.resource)
  const { auth_time: authTime, amr } = signIn
  return makePersonalToken(maker, { wish, user, resource, authTime, amr, address: caller.address })
}

/** Ends one of the owner's tokens, or all of them; how many had not ended before. */
export async function endOwnTokens(ctx: Context, owner: Owner, which: Buffer | 'all'): Promise<number> {
  const id = which === 'all' ? undefined : which
  const tokens = await listPersonalTokens(ctx.db, owner.user.id, { now: ctx.clock.now(), id })
  const names = tokens.map(({ name }) => name)
  const by = byOwner(ctx, owner, { kind: 'personal_access_tokens_ended', names })
  return endPersonalTokens(by, tokens, 'ended by its user')
}
