import { api, documentOf, type Session, type SignIn } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Section } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { browserText, methodsText } from '../parts/words.ts'
import { isOfToken } from '../parts/token.ts'
import { href, query } from '../router.ts'
import { useState } from 'preact/hooks'

/** Where somebody is logged in: browsers, and apps. */
export function UserPlaces({ sub }: { readonly sub: string }) {
  const [times, setTimes] = useState(0)
  const again = () => setTimes(times + 1)
  const by = `${sub} ${times}`
  const chosen = /^end-(sign-in|session)-(.+)$/.exec(query.value.get('act') ?? '')
  return (
    <>
      <Section title="Browsers">
        <Pages<SignIn>
          label="Browsers"
          by={by}
          read={(page, signal) =>
            documentOf(
              api.GET('/admin/v1/sign-ins', {
                params: { query: { sub, ...page } },
                signal,
              }),
            )
          }
          keyOf={signIn => signIn.sign_in}
          row={signIn => <SignInRow signIn={signIn} />}
          empty={<p>No browser is logged in.</p>}
        />
      </Section>
      <Section title="Apps">
        <Pages<Session>
          label="Sessions in apps"
          by={by}
          read={(page, signal) =>
            documentOf(
              api.GET('/admin/v1/sessions', {
                params: { query: { sub, ...page } },
                signal,
              }),
            )
          }
          keyOf={session => session.sid}
          row={session => <SessionOfUser session={session} />}
          empty={<p>No app has a session of this user.</p>}
        />
      </Section>
      {chosen?.[1] === 'sign-in' && <EndSignIn id={chosen[2] ?? ''} again={again} />}
      {chosen?.[1] === 'session' && <EndSession sid={chosen[2] ?? ''} clientId={undefined} again={again} />}
    </>
  )
}

function SignInRow({ signIn }: { readonly signIn: SignIn }) {
  const { sign_in: id, user_agent, last_address, first_address, used_at, auth_time, amr } = signIn
  return (
    <>
      <span class="row">{browserText(user_agent)}</span>
      <span>
        From {last_address}
        {first_address !== last_address && `, first from ${first_address}`}. Used <Time at={used_at} />;
        logged in <Time at={auth_time} /> by {methodsText(amr)}.
      </span>
      <ActButton act={`end-sign-in-${id}`} isDanger>
        End
      </ActButton>
    </>
  )
}

function SessionOfUser({
  session: { sid, client_id, auth_time, rotated_at },
}: {
  readonly session: Session
}) {
  return (
    <>
      <a class="row" href={href(`/sessions/${sid}`)}>
        {isOfToken(client_id) ? 'Personal access token' : <bdi>{client_id}</bdi>}
      </a>
      <span>
        Used <Time at={rotated_at} />; logged in <Time at={auth_time} />.
      </span>
      {!isOfToken(client_id) && (
        <ActButton act={`end-session-${sid}`} isDanger>
          End
        </ActButton>
      )}
    </>
  )
}

function EndSignIn({ id, again }: { readonly id: string; readonly again: () => void }) {
  return (
    <Act
      act={`end-sign-in-${id}`}
      title="End this sign-in"
      does="End it"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(api.DELETE('/admin/v1/sign-ins/{sign_in}', { params: { path: { sign_in: id } } }))
        return 'The sign-in has ended.'
      }}
    >
      <p>The browser is logged out, and every session in apps that was begun from it ends too.</p>
    </Act>
  )
}

interface EndSessionProps {
  readonly sid: string
  readonly clientId: string | undefined
  readonly again: () => void
}

/** Whose it is: the address could name any. */
function WhoseSession({ sid }: { readonly sid: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/sessions/{sid}', { params: { path: { sid } }, signal })),
    [sid],
  )
  return (
    <Reading of={read}>
      {({ username, sub, client_id }) => (
        <p>
          It is a session of <bdi>{username ?? sub ?? 'a machine'}</bdi> in <bdi>{client_id}</bdi>.
        </p>
      )}
    </Reading>
  )
}

/** Also in the view of a session. */
export function EndSession({ sid, clientId, again }: EndSessionProps) {
  return (
    <Act
      act={`end-session-${sid}`}
      title="End this session"
      does="End it"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(api.DELETE('/admin/v1/sessions/{sid}', { params: { path: { sid } } }))
        return 'The session has ended.'
      }}
    >
      <WhoseSession sid={sid} />
      {isOfToken(clientId) ? (
        <p>
          It is a personal access token: whatever calls an API with it is refused from then on, and its user
          has to make another one.
        </p>
      ) : (
        <p>
          Its one app cannot refresh any more: it has to have its user log in again. An access token that it
          has is good for some minutes more where an API does not look at its status.
        </p>
      )}
    </Act>
  )
}
