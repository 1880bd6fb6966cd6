import type { UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Browser, Page } from './browser.ts'
import type { TestServer, TestUser } from './server.ts'

/** Opens a page of the account, and logs in where that is asked for. */
export async function openAccount(
  browser: Browser,
  { username, password }: Pick<TestUser, 'username' | 'password'>,
  path = '/account',
): Promise<Page> {
  const page = await browser.open(path)
  return page.url.pathname === '/log-in' ? browser.submit(page, { username, password }) : page
}

/** What the audit trail has of a user since the last log-in, the newest last, without who did it. */
export async function auditOf({ ctx }: TestServer, { id }: Pick<TestUser, 'id'>) {
  const rows = await ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'actor', 'client_id', 'detail'])
    .where('user_id', '=', id)
    .orderBy('id')
    .execute()
  return rows.map(({ detail, ...row }) => ({ ...row, detail: detail === null ? null : JSON.parse(detail) }))
}

/** The kinds of the mails that wait for a user, sorted: those of one second are in no order. */
export async function mailsTo({ ctx }: TestServer, { id }: Pick<TestUser, 'id'>): Promise<readonly string[]> {
  const rows = await ctx.db.sql
    .selectFrom('outbox')
    .select('kind')
    .where('user_id', '=', id)
    .orderBy('id')
    .execute()
  return rows.map(({ kind }) => kind).toSorted()
}

export async function rowOf({ ctx }: TestServer, { id }: Pick<TestUser, 'id'>): Promise<UserTable> {
  const user = await findUserById(ctx.db, id)
  if (!user) throw new Error('the user is gone')
  return user
}

/** The ids of the living sign-ins of a user, the oldest first. */
export async function signInsOf(
  { ctx }: TestServer,
  { id }: Pick<TestUser, 'id'>,
): Promise<readonly Buffer[]> {
  const rows = await ctx.db.sql
    .selectFrom('sign_ins')
    .innerJoin('users', join =>
      join.onRef('users.id', '=', 'sign_ins.user_id').onRef('users.epoch', '=', 'sign_ins.user_epoch'),
    )
    .select('sign_ins.id')
    .where('user_id', '=', id)
    .orderBy('sign_ins.created_at')
    .orderBy('first_address')
    .execute()
  return rows.map(row => row.id)
}

/** Gives a user a mail address that counts. */
export async function verifiedMail(
  { ctx }: TestServer,
  { id }: Pick<TestUser, 'id'>,
  email = 'ada@mail.example',
): Promise<void> {
  const claims = JSON.stringify({ email, email_verified: true })
  await ctx.db.sql.updateTable('users').set({ claims }).where('id', '=', id).execute()
}

/** The settings with which mails are written, and never sent. */
export const withMail = {
  MINTMARK_SMTP_URL: 'smtp://127.0.0.1:9',
  MINTMARK_MAIL_FROM: 'no-reply@as.example',
} as const
