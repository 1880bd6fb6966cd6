import { findResource } from '../../db/clients/resources.ts'
import { listPersonalTokens, type PersonalToken } from '../../db/sessions/personal-tokens.ts'
import { openStatusPositions } from '../endings/status-positions.ts'
import { Refusal } from '../errors.ts'
import { mailsOf } from '../mail/notices.ts'
import { formatUuid } from '../protocol/secrets.ts'
import {
  endPersonalTokens,
  makePersonalToken,
  personalTokenSeconds,
  personalTokensMax,
  tokenNameMax,
  type PersonalTokenProblem,
  type PersonalTokenWish,
} from '../sessions/personal-tokens.ts'
import { tokensClientId } from '../clients/tokens-client.ts'
import { formatDuration } from '../values/duration.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { existingUser, userToChange } from './users.ts'

export type DescribedPersonalToken = ReturnType<typeof describePersonalToken>

/** The document of a token; never the token itself. */
export function describePersonalToken(token: PersonalToken) {
  const { id, name, resource, scope, amr, started_at, rotated_at, expires_at } = token
  return {
    id: formatUuid(id),
    name,
    resource,
    scope: itemsOf(scope),
    amr: itemsOf(amr),
    created_at: started_at ?? rotated_at,
    last_used_at: rotated_at === started_at ? null : rotated_at,
    expires_at,
  }
}

/** The tokens of a user that live, the newest first. */
export async function listTokensOf(
  admin: Pick<Admin, 'db' | 'clock' | 'precondition'>,
  username: string,
): Promise<readonly PersonalToken[]> {
  const user = await existingUser(admin, username)
  return listPersonalTokens(admin.db, user.id, { now: admin.clock.now() })
}

/** A token as it is wanted for a user. */
export interface WantedToken extends PersonalTokenWish {
  readonly user: string
  readonly resource: string
}

export interface CreatedToken {
  /** To be shown this once: the database has its hash alone. */
  readonly text: string
  readonly token: DescribedPersonalToken
}

/** Makes a token for a user, who is told by mail. There is no log-in behind it, and so no `acr`. */
export async function createToken(
  admin: Admin,
  { user: username, resource: uri, ...wish }: WantedToken,
): Promise<CreatedToken> {
  const user = await userToChange(admin, username)
  const now = admin.clock.now()
  const mails = mailsOf(admin, user, { kind: 'personal_access_token_created', name: wish.name })
  const maker = {
    by: { ...admin, mails },
    rootKeys: admin.rootKeys,
    nextStatusPosition: openStatusPositions(admin.db),
  }
  const resource = await findResource(admin.db, uri)
  const made = await makePersonalToken(maker, {
    wish,
    user,
    resource,
    authTime: now,
    amr: '',
    address: null,
  })
  if (typeof made === 'string') throw refusalOf(made, { username, uri })
  const [token] = await listPersonalTokens(admin.db, user.id, { now, id: made.sessionId })
  if (!token) throw refusalOf('gone', { username, uri })
  return { text: made.text, token: describePersonalToken(token) }
}

function refusalOf(
  problem: PersonalTokenProblem,
  { username, uri }: { readonly username: string; readonly uri: string },
): Refusal {
  const { least, most } = personalTokenSeconds
  switch (problem) {
    case 'name':
      return new Refusal(
        'invalid',
        `name takes 1 to ${tokenNameMax} characters on one line`,
        undefined,
        'name',
      )
    case 'end':
      return new Refusal(
        'invalid',
        `a token lives at least ${formatDuration(least)} and at most ${formatDuration(most)}`,
        undefined,
        'expires_in',
      )
    case 'resource':
      return new Refusal(
        'invalid',
        `${uri} is no API that takes personal access tokens`,
        `\`mintmark resource update ${uri} --personal-access-tokens\` lets people make them`,
        'resource',
      )
    case 'scope':
      return new Refusal('invalid', `scope takes one or more scopes that ${uri} knows`, undefined, 'scope')
    case 'second_factor':
      return new Refusal(
        'invalid',
        'a token with a scope of administrators needs a second factor, which no command shows',
        undefined,
        'scope',
      )
    case 'name_taken':
      return new Refusal(
        'conflict',
        `${username} has a token of that name`,
        `\`mintmark token list --user ${username}\` shows it`,
        'name',
      )
    case 'too_many':
      return new Refusal(
        'conflict',
        `${username} has ${personalTokensMax} tokens, which is the limit`,
        `\`mintmark token list --user ${username}\` shows them`,
      )
    case 'off':
      return new Refusal(
        'conflict',
        'personal access tokens are switched off',
        `\`mintmark client enable ${tokensClientId}\` switches them on`,
      )
    case 'gone':
      return new Refusal('conflict', `${username} is disabled, or all of its sessions have just been ended`)
  }
}

/** Ends one token of a user. Refuses one that does not live, or is another's. */
export async function endToken(admin: Admin, username: string, id: Buffer): Promise<DescribedPersonalToken> {
  const user = await userToChange(admin, username)
  const [token] = await listPersonalTokens(admin.db, user.id, { now: admin.clock.now(), id })
  if (!token || (await endPersonalTokens(admin, [token], 'command')) === 0)
    throw new Refusal(
      'not_found',
      `${user.username} has no such token that lives`,
      `\`mintmark token list --user ${user.username}\` shows all`,
    )
  return describePersonalToken(token)
}

/** Ends all tokens of a user, and returns how many there were. Other sessions go on. */
export async function endTokensOf(admin: Admin, username: string): Promise<number> {
  const user = await userToChange(admin, username)
  const tokens = await listPersonalTokens(admin.db, user.id, { now: admin.clock.now() })
  return endPersonalTokens(admin, tokens, 'command')
}
