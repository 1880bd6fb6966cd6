import { html, type Html, type Piece } from '../../html.ts'
import { layout, type Frame } from '../../layout.ts'
import type { AccountNotice, AccountProblem } from '../../texts/account-texts.ts'

/** What each page of an account has beside its own content. */
export interface AccountState {
  /** What was done just now. */
  readonly notice: AccountNotice | null
  /** Why something was not done. */
  readonly problem: AccountProblem | null
  /** The time zone of who reads it (IANA). */
  readonly zone: string
}

export interface AccountContent {
  readonly title: string
  readonly main: readonly Piece[]
}

/** A page of an account, which leads back to the first of them. */
export function accountLayout(frame: Frame, state: AccountState, { title, main }: AccountContent): Html {
  const { back } = frame.language.texts.ownAccount
  return layout(frame, {
    title,
    isProblem: state.problem !== null,
    main: html`<h1>${title}</h1>
${told(frame, state)}
${main.map(piece => html`${piece}`)}`,
    below: html`<a class="go" href="${frame.look.base}/account">${back}</a>`,
  })
}

/** What was done, or why it was not. */
export function told({ language }: Frame, { notice, problem }: AccountState): Html | null {
  const { notices } = language.texts.ownAccount
  if (problem !== null) return isOfCode(problem) ? null : problemBox(language, problem)
  return notice === null ? null : html`<p role="status">${notices[notice]}</p>`
}

/** Whether it is told beside the field of the code, which may be far below the heading. */
export function isOfCode(problem: AccountProblem | null): boolean {
  return problem !== null && problem.startsWith('code_')
}

export function problemBox({ texts }: Frame['language'], problem: AccountProblem): Html {
  return html`<p id="problem" role="alert">${texts.ownAccount.problems[problem]}</p>`
}

/**
 * The attributes of a button or link that has a short text, since it stands below the heading of its row: who
 * goes from button to button hears both.
 */
export function ofRow(headingId: string): Html {
  return html` id="do-${headingId}" aria-labelledby="do-${headingId} ${headingId}"`
}

/** What cannot be undone, which takes a second press. */
export function removal(summary: Piece, content: Html): Html {
  return html`<details class="removal"><summary>${summary}</summary>${content}</details>`
}

/** A time as people read it, in their zone. */
export function timeOf({ language }: Frame, { zone }: Pick<AccountState, 'zone'>, seconds: number): Html {
  const date = new Date(seconds * 1000)
  const words = new Intl.DateTimeFormat(language.tag === 'en' ? 'en-GB' : language.tag, {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZone: zone,
    timeZoneName: 'short',
  })
  return html`<time datetime="${date.toISOString()}">${words.format(date)}</time>`
}

/** Facts with their names; those that are null are left out. */
export function factList(facts: readonly (readonly [name: string, fact: Piece])[]): Html {
  const lines = facts.filter(([, fact]) => fact !== null)
  return html`<dl>${lines.map(([name, fact]) => html`<dt>${name}</dt><dd>${fact}</dd>`)}</dl>`
}

/** What marks a field as wrong, and says why where that is. `isFirst`: a correction begins there. */
export function faultOf(isWrong: boolean, describedBy = 'problem', isFirst = true): Html | null {
  if (!isWrong) return null
  return html` aria-invalid="true" aria-describedby="${describedBy}"${isFirst ? html` autofocus` : null}`
}
