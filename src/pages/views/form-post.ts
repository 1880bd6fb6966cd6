import { constantMarkup, html, linkTarget, nameOf, type Html } from '../html.ts'
import { hiddenFields, layout, type Frame, type Parameters } from '../layout.ts'
import { sourceOf } from '../look.ts'

export interface FormPostData {
  readonly clientName: string
  /** The redirect URI, which is registered. */
  readonly uri: string
  /** Of the answer. */
  readonly parameters: Parameters
}

const script = 'document.forms[0].submit()'

/** The source of the view's script in a Content-Security-Policy. */
export const formPostScriptSource: string = sourceOf(script)

/**
 * OAuth 2.0 Form Post Response Mode §2: the answer to a client as a form, which sends itself, or by a button
 * where no scripts run. Throws for a URI that no form may be sent to.
 */
export function formPostView(frame: Frame, { clientName, uri, parameters }: FormPostData): Html {
  const texts = frame.language.texts.formPost
  if (linkTarget(uri) === undefined) throw new Error('unreachable: the redirect URI is registered')
  return layout(frame, {
    title: texts.title,
    main: html`<h1>${texts.heading(nameOf(clientName))}</h1>
<p>${texts.what}</p>
<form method="post" action="${uri}">
${hiddenFields(parameters)}
<button type="submit">${texts.submit}</button>
</form>
<script>${constantMarkup(script)}</script>`,
  })
}
