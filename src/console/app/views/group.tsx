import { useState } from 'preact/hooks'
import { api, documentOf, readOf, type User } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Reading } from '../parts/reading.tsx'
import { Tags } from '../parts/tags.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'
import { GroupActs } from './group-acts.tsx'

/** One group: its roles, and who has them by it. */
export function GroupView({ name }: { readonly name: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/groups/{name}', { params: { path: { name } }, signal })),
    [name],
  )
  const [times, setTimes] = useState(0)
  return (
    <Page
      title={name}
      above={<a href={href('/groups')}>Groups</a>}
      acts={
        read.value &&
        maySeeAll.value && (
          <>
            <ActButton act="roles">Change roles</ActButton>
            <ActButton act="add">Add a member</ActButton>
            <ActButton act="delete" isDanger>
              Delete
            </ActButton>
          </>
        )
      }
    >
      <Reading of={read}>
        {group => (
          <>
            <Facts
              facts={[
                ['Roles', <Tags of={group.value.roles} none="none: its members have nothing by it" />],
                ['Added', <Time at={group.value.created_at} />],
              ]}
            />
            <Members name={name} by={String(times)} />
            <GroupActs of={group} again={read.again} membersAgain={() => setTimes(times => times + 1)} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function Members({ name, by }: { readonly name: string; readonly by: string }) {
  return (
    <Section title="Members">
      <Pages<User>
        label="Members"
        by={by}
        read={(page, signal) => {
          const params = { path: { name }, query: page }
          return documentOf(api.GET('/admin/v1/groups/{name}/members', { params, signal }))
        }}
        keyOf={({ sub }) => sub}
        row={user => <MemberRow user={user} />}
        empty={
          <>
            <p>Nobody is in this group yet. Add a member here, or on the host:</p>
            <pre>
              <code>mintmark group add-user {name} USER</code>
            </pre>
          </>
        }
      />
    </Section>
  )
}

function MemberRow({ user: { sub, username, claims, disabled_at } }: { readonly user: User }) {
  return (
    <>
      <a class="row" href={href(`/users/${sub}`)}>
        <bdi>{username}</bdi>
      </a>
      <span>
        {[claims['name'], claims['email']].filter(Boolean).map(String).join(', ')}
        {disabled_at !== null && <span class="tag bad">disabled</span>}
      </span>
      {maySeeAll.value && <ActButton act={`remove-${sub}`}>Take out</ActButton>}
    </>
  )
}
