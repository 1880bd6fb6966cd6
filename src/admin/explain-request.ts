import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { isObject } from '../values/json.ts'
import type { Admin } from './admin.ts'
import { describeAuditEntry, listAudit, type DescribedAuditEntry } from './audit.ts'

/** What is known of one request. */
export interface ExplainedRequest {
  readonly audit: readonly DescribedAuditEntry[]
  /** Lines of logs, oldest first. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
}

/**
 * All that the audit trail and these logs of servers tell of a request, by the id that its answer had
 * (`x-request-id`). Throws what the system says where a file cannot be read.
 */
export async function explainRequest(
  admin: Admin,
  requestId: string,
  logs: readonly string[],
): Promise<ExplainedRequest> {
  const audit: DescribedAuditEntry[] = []
  for await (const entry of await listAudit(admin, { requestId })) audit.push(describeAuditEntry(entry))
  const log: Readonly<Record<string, unknown>>[] = []
  for (const file of logs) {
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      // Most lines are of others, and need not be parsed.
      if (!line.includes(requestId)) continue
      const entry = readLine(line)
      if (entry?.['reqId'] === requestId) log.push(entry)
    }
  }
  return { audit, log }
}

function readLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined // a line of something else
  }
}
