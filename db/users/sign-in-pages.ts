import type { Database } from '../database.ts'
import type { SignInTable } from '../schema.ts'

/** Which sign-ins; a member left out does not matter. */
export interface SignInFilter {
  readonly id?: Buffer
  readonly userId?: Buffer
  /** Only those that live at this time. */
  readonly livingAt: number
  /** Also those that a restored backup has ended, whose sessions go on. */
  readonly withLeft?: boolean
}

export type ListedSignIn = Omit<SignInTable, 'secret_hash' | 'user_epoch' | 'sign_in_epoch' | 'browser'> & {
  readonly username: string
}

const pageSize = 500

/** Living sign-ins in the order in which they began, read page by page: there may be any number. */
export async function* listSignIns(db: Database, filter: SignInFilter): AsyncGenerator<ListedSignIn> {
  let after: Buffer = Buffer.alloc(16)
  for (;;) {
    const page = await readPage(db, filter, { after, limit: pageSize })
    yield* page
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last.id
  }
}

/** So many rows are looked at for one page, however few of them live: then the page is a short one. */
const rowsMax = 1000

export interface SignInPage {
  readonly signIns: readonly ListedSignIn[]
  /** The sign-in after which the next page begins; undefined once all were looked at. */
  readonly next: Buffer | undefined
}

/** One page of living sign-ins in the order in which they began. It costs the same wherever it begins. */
export async function pageOfSignIns(
  db: Database,
  filter: SignInFilter,
  { after: from, limit }: { readonly after: Buffer | undefined; readonly limit: number },
): Promise<SignInPage> {
  const after = from ?? Buffer.alloc(16)
  let rows = db.sql.selectFrom('sign_ins').where('id', '>', after)
  if (filter.userId !== undefined) rows = rows.where('user_id', '=', filter.userId)
  const last = await rows
    .select('id')
    .orderBy('id')
    .offset(rowsMax - 1)
    .limit(1)
    .executeTakeFirst()
  const found = await readPage(db, filter, { after, upTo: last?.id, limit: limit + 1 })
  const signIns = found.slice(0, limit)
  return { signIns, next: found.length > limit ? signIns.at(-1)?.id : last?.id }
}

async function readPage(
  db: Database,
  filter: SignInFilter,
  {
    after,
    upTo,
    limit,
  }: { readonly after: Buffer; readonly upTo?: Buffer | undefined; readonly limit: number },
): Promise<ListedSignIn[]> {
  return matching(db, filter)
    .select(['sign_ins.id', 'sign_ins.user_id', 'users.username', 'auth_time', 'amr'])
    .select(['sign_ins.created_at', 'used_at', 'expires_at', 'is_persistent'])
    .select(['first_address', 'last_address', 'user_agent'])
    .where('sign_ins.id', '>', after)
    .$if(upTo !== undefined, query => query.where('sign_ins.id', '<=', upTo ?? Buffer.alloc(16)))
    .orderBy('sign_ins.id')
    .limit(limit)
    .execute()
}

/** How many there are. */
export async function countSignIns(db: Database, filter: SignInFilter): Promise<number> {
  const { count } = await matching(db, filter)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

function matching({ sql }: Database, { id, userId, livingAt, withLeft = false }: SignInFilter) {
  return sql
    .selectFrom('sign_ins')
    .innerJoin('users', join =>
      join
        .onRef('users.id', '=', 'sign_ins.user_id')
        .onRef('users.epoch', '=', 'sign_ins.user_epoch')
        .on('users.disabled_at', 'is', null),
    )
    .where('expires_at', '>', livingAt)
    .$if(!withLeft, query =>
      query.where('sign_ins.sign_in_epoch', '=', ({ selectFrom }) =>
        selectFrom('installation').select('sign_in_epoch'),
      ),
    )
    .$if(id !== undefined, query => query.where('sign_ins.id', '=', id ?? Buffer.alloc(16)))
    .$if(userId !== undefined, query => query.where('sign_ins.user_id', '=', userId ?? Buffer.alloc(16)))
}
