import { useEffect, useRef, useState } from 'preact/hooks'
import { api, documentOf, type AuditEntry } from '../api/api.ts'
import { Act } from '../parts/act.tsx'
import { csvLine } from '../parts/csv.ts'
import { saveFile } from '../parts/save-file.ts'
import { counted } from '../parts/words.ts'
import type { AuditQuery } from './audit-filters.tsx'

/** So many entries are in a file at the most: it is made in the memory of the browser. */
const entriesMax = 50_000

const columns = [
  'at',
  'event',
  'actor',
  'sub',
  'username',
  'client_id',
  'sid',
  'address',
  'request_id',
  'count',
] as const

/** Saves what the filters leave as a file, read page by page. */
export function AuditExport({ query }: { readonly query: AuditQuery }) {
  const [done, setDone] = useState<number>()
  const reading = useRef<AbortController>(undefined)
  return (
    <Act
      act="export"
      title="Export as CSV"
      does="Export"
      run={async () => {
        reading.current = new AbortController()
        const { lines, isWhole } = await readAll(query, reading.current.signal, setDone)
        saveFile('audit.csv', [csvLine([...columns, 'detail']), ...lines])
        setDone(undefined)
        const count = counted(lines.length, 'line')
        return isWhole ? `The file has ${count}.` : `The file has the latest ${count}: there are more.`
      }}
    >
      <p>
        What the filters leave, the newest first, up to {entriesMax.toLocaleString('en')} entries. It names
        people and their addresses: keep it as you keep those.
      </p>
      <p role="status">{done !== undefined && `${done.toLocaleString('en')} read so far…`}</p>
      <EndWithDialog reading={reading} />
    </Act>
  )
}

/** Is there as long as the dialog. */
function EndWithDialog({ reading }: { readonly reading: { readonly current: AbortController | undefined } }) {
  useEffect(() => () => reading.current?.abort(), [])
  return null
}

async function readAll(query: AuditQuery, signal: AbortSignal, onProgress: (done: number) => void) {
  const lines: string[] = []
  let after: string | undefined
  do {
    const page = { ...query, limit: 200, ...(after !== undefined && { after }) }
    const { items, next } = await documentOf(api.GET('/admin/v1/audit', { params: { query: page }, signal }))
    for (const entry of items) lines.push(lineOf(entry))
    onProgress(lines.length)
    after = next ?? undefined
  } while (after !== undefined && lines.length < entriesMax)
  return { lines, isWhole: after === undefined }
}

const lineOf = (entry: AuditEntry) =>
  csvLine([...columns.map(name => entry[name]), JSON.stringify(entry.detail)])
