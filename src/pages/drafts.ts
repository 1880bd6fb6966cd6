import type { Context } from '../context.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import { knownBrowserOf, browserOf } from './proceed.ts'
import { queryOf, redirectTo, type Visit } from './visit.ts'

/*
 * A form that was refused leads back to its page by a redirect, so that loading that again, or going back to
 * it, sends nothing. The address has what was typed, and why it was refused; or what was typed alone, where a
 * person has to log in before it can be saved. It is sealed, so that neither a log nor another site has it in
 * clear. A password is never in it.
 */

/** The fields of a form, and as `problem` what was wrong with them. */
export type Draft = Readonly<Record<string, string | undefined>>

/**
 * So long a draft may be: with more, addresses become too long for proxies. One that waits for a log-in
 * stands in an address that is sealed itself.
 */
const [lengthMax, waitingLengthMax] = [4000, 1500]

/** How long it is good, in seconds: as long as a person may take to log in. */
const draftSeconds = 1800

/** The page to come back to from a log-in, as a path of ours, with what was typed unless that is too long. */
export function draftPath(visit: Visit, path: string, typed: Draft): string {
  const browser = knownBrowserOf(visit)
  const isKept = browser !== undefined && JSON.stringify(typed).length <= waitingLengthMax
  return isKept ? withDraft(visit.ctx, path, { typed, browser }) : path
}

/** Leads back to the page of a form that was refused: with why, and with what was typed if that is short. */
export function leadBack(visit: Visit, path: string, draft: Draft & { readonly problem: string }): void {
  const { ctx } = visit
  const isKept = JSON.stringify(draft).length <= lengthMax
  const typed = isKept ? draft : { problem: draft.problem }
  redirectTo(visit, ctx.config.issuer + withDraft(ctx, path, { typed, browser: browserOf(visit) }))
}

function withDraft(ctx: Context, path: string, draft: Omit<SealedDraft, 'at'>): string {
  const { config, rootKeys, clock } = ctx
  const text = sealValue(rootKeys, 'draft', config.issuer, { ...draft, at: clock.now() })
  return `${path}${path.includes('?') ? '&' : '?'}draft=${text}`
}

/**
 * What an address has of a form; empty for none, and for one that is too old. In another browser, as in one
 * that keeps no cookie, it says no more than what was wrong.
 */
export async function draftOf(visit: Visit): Promise<Draft> {
  const { ctx } = visit
  const text = queryOf(visit, 'draft')
  const content = text === undefined ? undefined : await openValue(ctx, 'draft', ctx.config.issuer, text)
  if (!content) return {}
  // Only we can have sealed it, so `withDraft` has made it.
  const { typed, browser, at } = content as unknown as SealedDraft
  if (Math.abs(ctx.clock.now() - at) >= draftSeconds) return {}
  return browser === knownBrowserOf(visit) ? typed : { problem: typed['problem'] }
}

interface SealedDraft {
  readonly typed: Draft
  /** SHA-256 of its cookie, in base64url. */
  readonly browser: string
  readonly at: number
}
