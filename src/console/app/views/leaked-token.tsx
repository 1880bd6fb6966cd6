import { useState } from 'preact/hooks'
import { api, documentOf, type Session } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { ClientLink } from '../parts/links.tsx'
import { Reading } from '../parts/reading.tsx'
import { Step, Steps } from '../parts/steps.tsx'
import { Time } from '../parts/time.tsx'
import { isOfToken, readToken } from '../parts/token.ts'
import { href, query, setQuery } from '../router.ts'

const hint =
  'An access token, or a refresh token or personal access token, of which the first 40 characters are enough; ' +
  'or the id of its session (sid, jti). It is read in this browser, to find its session, and is sent nowhere.'

/** Says whose the token is, which is read here and sent nowhere, and what to do. */
export function LeakedToken() {
  const [isUnknown, setUnknown] = useState(false)
  const sid = query.value.get('sid')
  return (
    <>
      <form
        onSubmit={event => {
          event.preventDefault()
          const { currentTarget: form } = event
          const read = readToken(textOf(new FormData(form), 'token'))
          // It has been seen by enough people.
          form.reset()
          setUnknown(read === undefined)
          setQuery({ sid: read?.sid ?? '', sub: read?.sub ?? '' })
        }}
      >
        <Field label="The token" name="token" type="password" required hint={hint} />
        <button>Find its session</button>
      </form>
      {isUnknown && (
        <p class="problem" role="alert">
          This is no token that names its session. Of one that you have not at hand, find the session by its
          user: <a href={href('/leaked/user')}>A password or a device of somebody</a>
          {', '}or in the list of <a href={href('/sessions')}>all sessions</a>.
        </p>
      )}
      {sid !== null && <Found key={sid} sid={sid} />}
    </>
  )
}

function Found({ sid }: { readonly sid: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/sessions/{sid}', { params: { path: { sid } }, signal })),
    [sid],
  )
  const sub = read.value?.sub ?? query.value.get('sub')
  return (
    <>
      <Reading of={read}>{session => <Whose session={session} />}</Reading>
      <Steps>
        {read.value?.state === 'living' && <EndIt session={read.value} />}
        {sub && (
          <Step
            title="Was more of this user in the same place?"
            to={href('/leaked/user', { sub })}
            does="See what ends with the user’s sessions"
          >
            <p>If you are not sure that it was this one token, end all sessions of its user.</p>
          </Step>
        )}
        {maySeeAll.value && (
          <Step
            title="Look at what was done with it"
            to={href('/audit', { sid })}
            does="What happened to this session"
          >
            <p>Late refreshes and addresses that nobody knows tell whether somebody has used it.</p>
          </Step>
        )}
      </Steps>
    </>
  )
}

/** Whose it is, and whether anything can be done with it still. */
function Whose({ session }: { readonly session: Session }) {
  const { sub, username, client_id: clientId, state, resource, scope, rotated_at: usedAt } = session
  const isPersonal = isOfToken(clientId)
  return (
    <p class="gap" role="status">
      It is {isPersonal ? 'a personal access token' : 'of a session'} of{' '}
      {sub === null ? 'a machine' : <a href={href(`/users/${sub}`)}>{username ?? sub}</a>}
      {!isPersonal && (
        <>
          {' '}
          through <ClientLink id={clientId} />
        </>
      )}
      {resource !== null && (
        <>
          , for <bdi>{resource}</bdi>
        </>
      )}
      {scope !== '' && <>, with {scope}</>}. It was last used, or made, <Time at={usedAt} />
      {'. '}
      {state === 'living' ? 'It lives.' : `It has ended: ${state}.`}
    </p>
  )
}

function EndIt({ session: { sid, sub, client_id: clientId } }: { readonly session: Session }) {
  if (sub !== null && isOfToken(clientId))
    return (
      <Step title="End it" to={href(`/users/${sub}`, { act: `end-token-${sid}` })} does="End this token…">
        <p>
          It is refused from then on, at introspection and wherever it is exchanged, and so are the tokens
          that it was exchanged for. Nothing else of its user ends.
        </p>
      </Step>
    )
  return (
    <Step
      title="End its session"
      to={href(`/sessions/${sid}`, { act: `end-session-${sid}` })}
      does="End this session…"
    >
      <p>
        One session ends: that of this token. Its refresh token is worth nothing from then on. The access
        token is refused at once where an API looks at its status, and otherwise within its lifetime.
      </p>
    </Step>
  )
}
