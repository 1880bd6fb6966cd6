import type { Context } from '../context.ts'
import { openValue, sealValue } from '../keys/sealed.ts'

/*
 * What somebody has typed who has to log in before it can be saved. It travels sealed in the address to come
 * back to, where neither a log nor another site has it in clear, and is good in the same browser alone.
 */

type Draft = Readonly<Record<string, string | undefined>>

/** So long a draft may be that goes along: with more, addresses become too long for proxies. */
const lengthMax = 1500

/** How long it is good, in seconds: as long as a person may take to log in. */
const draftSeconds = 1800

/** Empty where it is too long to go along. `browser`: SHA-256 of its cookie, in base64url. */
export function sealDraft(
  { config, rootKeys, clock }: Pick<Context, 'config' | 'rootKeys' | 'clock'>,
  draft: Draft,
  browser: string | undefined,
): string {
  const content = { typed: draft, browser, at: clock.now() }
  if (browser === undefined || JSON.stringify(content).length > lengthMax) return ''
  return sealValue(rootKeys, 'account draft', config.issuer, content)
}

/** Undefined for any other text, for one of another browser, and for one that is too old. */
export async function openDraft(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock'>,
  text: string | undefined,
  browser: string | undefined,
): Promise<Draft | undefined> {
  if (text === undefined) return undefined
  const content = await openValue(ctx, 'account draft', ctx.config.issuer, text)
  if (!content || content['browser'] !== browser) return undefined
  const { typed, at } = content as unknown as { readonly typed: Draft; readonly at: number }
  return Math.abs(ctx.clock.now() - at) < draftSeconds ? typed : undefined
}
