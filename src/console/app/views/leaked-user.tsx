import { api, documentOf, type User } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Pages } from '../parts/pages.tsx'
import { Reading } from '../parts/reading.tsx'
import { Search } from '../parts/search.tsx'
import { Step, Steps } from '../parts/steps.tsx'
import { WillEnd } from '../parts/will-end.tsx'
import { href, query } from '../router.ts'

/** Whose it was, and what to do. */
export function LeakedUser() {
  const sub = query.value.get('sub')
  if (sub !== null) return <StepsOf sub={sub} />
  const search = query.value.get('search') ?? ''
  return (
    <>
      <Search label="Whose?" hint="The beginning of a user name, or of a confirmed mail address" />
      {search !== '' && (
        <Pages<User>
          label="Users"
          by={search}
          read={(page, signal) => {
            const query = { search, ...page }
            return documentOf(api.GET('/admin/v1/users', { params: { query }, signal }))
          }}
          keyOf={({ sub }) => sub}
          row={({ sub, username }) => (
            <a class="row" href={href('/leaked/user', { sub })}>
              <bdi>{username}</bdi>
            </a>
          )}
          empty={<p>There is no such user.</p>}
        />
      )}
    </>
  )
}

function StepsOf({ sub }: { readonly sub: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/users/{sub}', { params: { path: { sub } }, signal })),
    [sub],
  )
  const act = (name: string) => href(`/users/${sub}`, { act: name })
  return (
    <Reading of={read}>
      {({ username }) => (
        <>
          <p>
            It is about{' '}
            <strong>
              <bdi>{username}</bdi>
            </strong>
            . <a href={href('/leaked/user')}>Somebody else</a>
          </p>
          <Steps>
            {maySeeAll.value && (
              <Step title="Keep others out" to={act('disable')} does="Disable the user…">
                <WillEnd sub={sub} />
                <p>
                  Nobody logs in as this user until you enable it again. If a new password is at hand, set
                  that instead.
                </p>
              </Step>
            )}
            {maySeeAll.value ? (
              <Step title="A new password" to={act('password')} does="Set a password…">
                <WillEnd sub={sub} />
                <p>
                  The old one is worth nothing from then on. Give the new one to the person, and to no one
                  else.
                </p>
              </Step>
            ) : (
              <Step title="End all sessions" to={act('end')} does="End all sessions…">
                <WillEnd sub={sub} />
                <p>Who knows the password can log in again: ask an administrator to set another one.</p>
              </Step>
            )}
            {maySeeAll.value && (
              <>
                <Step title="Was a device lost?" to={href(`/users/${sub}`)} does="Look at the ways to log in">
                  <p>Remove its passkey or authenticator app, and recovery codes that lay beside it.</p>
                </Step>
                <Step
                  title="Look at what was done"
                  to={href('/audit', { sub })}
                  does="What happened to this user"
                >
                  <p>Log-ins from addresses that the person does not know, other ways to log in, consents.</p>
                </Step>
              </>
            )}
          </Steps>
        </>
      )}
    </Reading>
  )
}
