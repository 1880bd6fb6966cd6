import type { UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import {
  makePersonalToken,
  personalTokenSeconds,
  type PersonalTokenStart,
  type PersonalTokenWish,
} from '../../src/sessions/personal-tokens.ts'
import { byCommand } from './by-command.ts'
import type { TestServer, TestUser } from './server.ts'

export interface WishedToken extends Partial<PersonalTokenWish>, Partial<Pick<PersonalTokenStart, 'amr'>> {
  readonly resource?: string
  /** As the user was before. */
  readonly row?: UserTable
}

/** For names, which are different for each token of a user. */
let made = 0

/** Makes a personal access token for the API of the tests, or says why not. */
export async function makeToken(
  { ctx }: TestServer,
  { id }: Pick<TestUser, 'id'>,
  { resource: uri = 'https://api.example', amr = 'pwd', row, ...wish }: WishedToken = {},
) {
  const user = row ?? (await findUserById(ctx.db, id))
  if (!user) throw new Error('the user is gone')
  const [resource] = await ctx.clients.registry.findResources(uri)
  const maker = {
    by: byCommand(ctx),
    rootKeys: ctx.rootKeys,
    nextStatusPosition: ctx.sessions.nextStatusPosition,
  }
  const wished = { name: `token ${++made}`, scope: ['read'], seconds: personalTokenSeconds.usual, ...wish }
  const start = { wish: wished, user, resource, authTime: ctx.clock.now(), amr, address: null }
  return makePersonalToken(maker, start)
}

/** The same, where there must be one. */
export async function personalToken(...args: Parameters<typeof makeToken>) {
  const made = await makeToken(...args)
  if (typeof made === 'string') throw new Error(made)
  return made
}
