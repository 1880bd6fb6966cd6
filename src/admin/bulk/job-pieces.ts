import type { Database } from '../../../db/database.ts'
import type { JobPieceTable } from '../../../db/schema.ts'
import { listPiecesUnderOlderKeys, listRefusedPieces, resealPiece } from '../../../db/users/job-pieces.ts'
import { rowsUnderOlderKeys } from '../../keys/root/older-keys.ts'
import type { RootKeys } from '../../keys/root/root-key.ts'
import { formatUuid, newUuid } from '../../protocol/secrets.ts'
import { cutPage } from '../../values/list.ts'
import type { RefusedEntry } from './parts.ts'

interface Keeping {
  readonly db: Database
  readonly rootKeys: RootKeys
}

/** Which piece it is. */
type PieceName = Pick<JobPieceTable, 'job_id' | 'kind' | 'number'>

const purpose = 'job piece'

const nameOf = ({ job_id, kind, number }: PieceName) => `${formatUuid(job_id)} ${kind} ${number}`

/** The row of a piece: the database alone says nothing of what is in it. */
export function sealPiece(
  { rootKeys }: Pick<Keeping, 'rootKeys'>,
  { job_id, kind, number }: PieceName,
  { content, now }: { readonly content: Buffer; readonly now: number },
): JobPieceTable {
  const piece = { job_id, kind, number }
  const { rootKeyId, sealed } = rootKeys.seal(purpose, nameOf(piece), content)
  return { id: newUuid(now), ...piece, root_key_id: rootKeyId, sealed }
}

/** What is in a piece; undefined where its root key is not in the file any more. */
export function openPiece({ rootKeys }: Pick<Keeping, 'rootKeys'>, piece: JobPieceTable): Buffer | undefined {
  return rootKeys.open(purpose, nameOf(piece), piece.root_key_id, piece.sealed)
}

const piecesAtOnce = 20

/** Entries that a job has refused, after one of them, in the order of the file. */
export async function pageOfRefused(
  { db, rootKeys }: Keeping,
  id: Buffer,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<{ readonly refused: readonly RefusedEntry[]; readonly next: number | undefined }> {
  const found: RefusedEntry[] = []
  for (let from = after; found.length <= limit;) {
    const pieces = await listRefusedPieces(db, id, { after: from, limit: piecesAtOnce })
    const entries = pieces.flatMap(piece => readRefused(openPiece({ rootKeys }, piece)))
    found.push(...entries.filter(({ entry }) => entry > Math.max(from, after)))
    const last = entries.at(-1)
    if (!last || last.entry <= from || pieces.length < piecesAtOnce) break
    from = last.entry
  }
  const { page, last } = cutPage(found, limit)
  return { refused: page, next: last?.entry }
}

/** Authenticated: only we can have written it. */
function readRefused(content: Buffer | undefined): readonly RefusedEntry[] {
  return content ? (JSON.parse(content.toString()) as readonly RefusedEntry[]) : []
}

/** Seals pieces under the current root key, some at once. */
export async function resealPieces({ db, rootKeys }: Keeping): Promise<void> {
  const list = (keyId: string) => listPiecesUnderOlderKeys(db, keyId, piecesAtOnce)
  for (const row of await rowsUnderOlderKeys(rootKeys, list)) {
    const content = openPiece({ rootKeys }, row)
    if (content) await resealPiece(db, row, sealPiece({ rootKeys }, row, { content, now: 0 }))
  }
}
