import { api, documentOf } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { ClientLink } from '../parts/links.tsx'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { isOfToken } from '../parts/token.ts'
import { href } from '../router.ts'
import { EndSession } from './user-places.tsx'

/** One session. */
export function SessionView({ sid }: { readonly sid: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/sessions/{sid}', { params: { path: { sid } }, signal })),
    [sid],
  )
  const isLiving = read.value?.state === 'living'
  return (
    <Page
      title="Session"
      above={<a href={href('/sessions')}>Sessions</a>}
      acts={
        isLiving && (
          <ActButton act={`end-session-${sid}`} isDanger>
            End it
          </ActButton>
        )
      }
    >
      <Reading of={read}>
        {session => (
          <Facts
            facts={[
              ['State', session.state],
              [
                'User',
                session.sub && <a href={href(`/users/${session.sub}`)}>{session.username ?? session.sub}</a>,
              ],
              ['What', isOfToken(session.client_id) && 'a personal access token'],
              ['Client', <ClientLink id={session.client_id} />],
              ['Logged in', <Time at={session.auth_time} />],
              ['Last refreshed', <Time at={session.rotated_at} />],
              ['Refreshes', session.generation],
              ['Ends unless it is used', <Time at={session.expires_at} />],
              ['Ends in any case', <Time at={session.absolute_expires_at} />],
              ['Scope', session.scope],
              ['Resource', session.resource],
              ['Ended', session.revoked_at && <Time at={session.revoked_at} />],
              ['Why', session.revoke_reason],
              ['Session (sid)', <code>{sid}</code>],
              ['Audit trail', maySeeAll.value && <a href={href('/audit', { sid })}>What happened to it</a>],
            ]}
          />
        )}
      </Reading>
      <EndSession sid={sid} clientId={read.value?.client_id} again={read.again} />
    </Page>
  )
}
