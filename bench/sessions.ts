import type { Database } from '../db/database.ts'
import type { RootKeys } from '../src/keys/root/root-key.ts'
import { openRefreshToken, sealRefreshToken } from '../src/protocol/refresh-token.ts'
import { newUuid } from '../src/protocol/secrets.ts'

/** Adds sessions like the one that is there, and returns their refresh tokens. */
export async function multiplySession(
  db: Database,
  {
    macKeyOf,
    refreshToken,
    count,
  }: { readonly macKeyOf: RootKeys['macKeyOf']; readonly refreshToken: string; readonly count: number },
): Promise<string[]> {
  const opened = openRefreshToken(macKeyOf, refreshToken)
  if (opened.kind !== 'genuine') throw new Error(`the first refresh token is ${opened.kind}`)
  const session = await db.sql
    .selectFrom('sessions')
    .selectAll()
    .where('id', '=', opened.token.sessionId)
    .executeTakeFirstOrThrow()
  const tokens: string[] = []
  while (tokens.length < count) {
    const rows = Array.from({ length: Math.min(1000, count - tokens.length) }, (_, i) => ({
      ...session,
      id: newUuid(session.auth_time),
      status_position: tokens.length + i,
    }))
    await db.sql.insertInto('sessions').values(rows).execute()
    tokens.push(...rows.map(({ id }) => sealRefreshToken(macKeyOf, { ...opened.token, sessionId: id })))
    if (tokens.length % 100_000 === 0)
      process.stderr.write(`${tokens.length.toLocaleString('en-US')} sessions\n`)
  }
  return tokens
}
