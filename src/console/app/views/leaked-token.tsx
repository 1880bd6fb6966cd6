import { useState } from 'preact/hooks'
import { maySeeAll } from '../auth/tokens.ts'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Step, Steps } from '../parts/steps.tsx'
import { readToken } from '../parts/token.ts'
import { href, query, setQuery } from '../router.ts'

/** Says whose the token is, which is read here and sent nowhere, and what to do. */
export function LeakedToken() {
  const [isUnknown, setUnknown] = useState(false)
  const sid = query.value.get('sid')
  const sub = query.value.get('sub')
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
        <Field
          label="The access token"
          name="token"
          type="password"
          required
          hint="It is read in this browser, to find its session, and is sent nowhere."
        />
        <button>Find its session</button>
      </form>
      {isUnknown && (
        <p class="problem" role="alert">
          This is no access token that names its session. Of a refresh token, or of one that you have not at
          hand, find the session by its user:{' '}
          <a href={href('/leaked/user')}>A password or a device of somebody</a>
          {', '}or in the list of <a href={href('/sessions')}>all sessions</a>.
        </p>
      )}
      {sid !== null && (
        <Steps>
          <Step
            title="End its session"
            to={href(`/sessions/${sid}`, { act: `end-session-${sid}` })}
            does="End this session…"
          >
            <p>
              One session ends: that of this token. Its refresh token is worth nothing from then on. The
              access token is refused at once where an API looks at its status, and otherwise within its
              lifetime.
            </p>
          </Step>
          {sub !== null && (
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
      )}
    </>
  )
}
