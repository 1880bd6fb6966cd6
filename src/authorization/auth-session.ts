import type { Context } from '../context.ts'
import { shownContent, shownOf, type Shown, type ShownContent } from '../factors/shown.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import {
  isOver,
  isUsed,
  requestSeconds,
  withoutUsual,
  withUsual,
  type OpenContext,
  type RequestContent,
  type SealContext,
} from './requests.ts'

/**
 * An authorization that an app asks its user for by itself (draft-ietf-oauth-first-party-apps §5.3.1). It
 * travels sealed, as `auth_session`, so that nothing is stored for a stranger and any instance goes on with
 * it. Where the request has a DPoP key, it is of use with a proof of that key alone.
 */
export interface AuthSession {
  readonly request: AuthorizationRequest
  readonly shown: Shown | null
}

/** The text for the client, which says nothing to it. */
export function sealAuthSession({ config, rootKeys }: SealContext, { request, shown }: AuthSession): string {
  return sealValue(rootKeys, 'auth session', config.issuer, {
    request: withoutUsual(request),
    ...(shown && { shown: shownContent(shown) }),
  })
}

/** Opens one that was sealed here and may go on; undefined for any other text, and where its time is over. */
export async function openAuthSession(
  ctx: OpenContext & Pick<Context, 'db'>,
  text: string,
): Promise<AuthSession | undefined> {
  const content = await openValue(ctx, 'auth session', ctx.config.issuer, text)
  if (!content) return undefined
  const { request, shown } = content as unknown as Content
  const opened = withUsual(request)
  if (isOver(opened, requestSeconds, ctx.clock.now()) || (await isUsed(ctx, opened))) return undefined
  return { request: opened, shown: shown ? shownOf(shown) : null }
}

interface Content {
  readonly request: RequestContent
  readonly shown?: ShownContent
}
