/** The server's refusal (RFC 9457), or ours where it could not be asked. */
export class Problem extends Error {
  readonly status: number
  /** What went wrong, for programs. */
  readonly code: string
  /** The member that is wrong. */
  readonly field: string | undefined
  /** By which the server's log has it. */
  readonly requestId: string | undefined

  constructor({ status, code, detail, field, request_id: requestId }: ProblemDocument) {
    super(detail)
    this.status = status
    this.code = code
    this.field = field
    this.requestId = requestId
  }
}

export interface ProblemDocument {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly field?: string | undefined
  readonly request_id?: string | undefined
}

/** What to do about a problem, in a sentence. */
export function adviceFor({ code }: Problem): string {
  return advice[code] ?? 'Try again. If it stays like this, look into the log of the server for the request.'
}

const advice: Readonly<Record<string, string>> = {
  invalid: 'Change that, and try again.',
  invalid_token: 'The server does not take a token that it has just made: log out, and log in again.',
  invalid_dpop_proof:
    'The clock of this machine or of the server is wrong: set it, and load this page again.',
  forbidden: 'Ask somebody who may do everything, or do it on the host with the command mintmark.',
  insufficient_scope: 'Ask an administrator to do this, or to give you the role for it.',
  not_found: 'It may have been removed by somebody else. Go back to the list.',
  no_user: 'Type the whole name to log in with, or a confirmed mail address.',
  conflict: 'Look at how things are now, and try again.',
  changed: 'Look at what has changed before you decide again. Nothing was overwritten.',
  under_way: 'Wait a moment, and look whether it is done.',
  temporarily_unavailable: 'The server is busy, or its database is away. Try again in a moment.',
  unavailable: 'The server cannot do this as it is set up. Its settings say why.',
  lost: 'Look whether it was done once the connection is back, and try again if it was not.',
}
