import { api, readOf, type User } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { GroupLink } from '../parts/links.tsx'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { href } from '../router.ts'
import { UserActs } from './user-acts.tsx'
import { UserFactors } from './user-factors.tsx'
import { UserPlaces } from './user-places.tsx'
import { UserTokens } from './user-tokens.tsx'

/** One user: who it is, and what can be done about it. */
export function UserView({ sub }: { readonly sub: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/users/{sub}', { params: { path: { sub } }, signal })),
    [sub],
  )
  const { value, again, times } = read
  return (
    <Page
      title={value?.value.username ?? 'User'}
      above={<a href={href('/users')}>Users</a>}
      acts={value && <ActButtons user={value.value} />}
    >
      <Reading of={read}>
        {user => (
          <>
            <About user={user.value} />
            <UserFactors sub={sub} />
            <UserPlaces sub={sub} key={times} />
            <UserTokens sub={sub} username={user.value.username} key={`tokens ${times}`} />
            <UserActs of={user} again={again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function ActButtons({ user }: { readonly user: User }) {
  const end = (
    <ActButton act="end" isDanger>
      End all sessions
    </ActButton>
  )
  if (!maySeeAll.value) return end
  return (
    <>
      <ActButton act="roles">Change roles</ActButton>
      <ActButton act="group">Add to a group</ActButton>
      <ActButton act="details">Change details</ActButton>
      <ActButton act="rename">Rename</ActButton>
      <ActButton act="password">Set a password</ActButton>
      {end}
      {user.disabled_at === null ? (
        <ActButton act="disable" isDanger>
          Disable
        </ActButton>
      ) : (
        <ActButton act="enable">Enable</ActButton>
      )}
      <ActButton act="delete" isDanger>
        Delete
      </ActButton>
    </>
  )
}

function About({
  user: { sub, username, roles, groups, claims, created_at, disabled_at },
}: {
  readonly user: User
}) {
  return (
    <>
      {disabled_at !== null && (
        <p class="problem">
          Disabled <Time at={disabled_at} />: no log-in of this user is let in.
        </p>
      )}
      <Facts
        facts={[
          ['Roles', roles.length > 0 ? roles.join(', ') : 'none'],
          ['Groups', groups.length > 0 && <Groups names={groups} />],
          ...Object.entries(claims).map(([name, value]) => [nameOfClaim(name), claimText(value)] as const),
          ['Added', <Time at={created_at} />],
          ['Subject (sub)', <code>{sub}</code>],
          [
            'Tokens',
            maySeeAll.value && <a href={href('/explain', { user: username })}>What they say, and why</a>,
          ],
          ['Audit trail', maySeeAll.value && <a href={href('/audit', { sub })}>What happened</a>],
        ]}
      />
    </>
  )
}

function Groups({ names }: { readonly names: readonly string[] }) {
  return (
    <>
      {names.map((name, i) => (
        <span key={name}>
          {i > 0 && ', '}
          <GroupLink name={name} />
        </span>
      ))}
    </>
  )
}

function nameOfClaim(name: string): string {
  const words = name.replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function claimText(value: unknown): string {
  if (value === true) return 'yes'
  if (value === false) return 'no'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
