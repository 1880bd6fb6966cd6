import { api, documentOf, type Session } from '../api/api.ts'
import { Section } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'

/** Who is logged in to a client, the oldest first. */
export function ClientSessions({ id }: { readonly id: string }) {
  return (
    <Section title="Its sessions">
      <Pages<Session>
        label="Sessions"
        by={id}
        read={(page, signal) => {
          const query = { client_id: id, ...page }
          return documentOf(api.GET('/admin/v1/sessions', { params: { query }, signal }))
        }}
        keyOf={({ sid }) => sid}
        row={session => <SessionRow session={session} />}
        empty={<p>It has no sessions: nobody is logged in to it.</p>}
      />
    </Section>
  )
}

function SessionRow({
  session: { sid, sub, username, auth_time, rotated_at },
}: {
  readonly session: Session
}) {
  return (
    <>
      <a class="row" href={href(`/sessions/${sid}`)}>
        <bdi>{username ?? (sub === null ? 'a machine' : 'a user who is gone')}</bdi>
      </a>
      <span>
        Used <Time at={rotated_at} />; logged in <Time at={auth_time} />.
      </span>
    </>
  )
}
