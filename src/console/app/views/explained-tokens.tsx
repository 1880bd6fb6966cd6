import { api, documentOf, type ExplainedLogIn, type User } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { findUser } from '../parts/find-user.ts'
import { ClientLink } from '../parts/links.tsx'
import { Reading } from '../parts/reading.tsx'
import { href } from '../router.ts'

interface ExplainedTokensProps {
  readonly user: string
  readonly client: string
  readonly resource: string
  readonly scope: string
}

type Token = ExplainedLogIn['tokens'][number]

const titles: Readonly<Record<Token['place'], string>> = {
  access_token: 'Access token',
  id_token: 'ID token',
  userinfo: '/userinfo',
}

/** The claims of the tokens of such a log-in, each with the rule that has put it there. */
export function ExplainedTokens({ user: name, client, resource, scope }: ExplainedTokensProps) {
  const read = useAnswer(
    async signal => {
      const user = await findUser(name, signal)
      const query = { client, ...(resource && { resource }), ...(scope && { scope }) }
      const params = { path: { sub: user.sub }, query }
      return { user, ...(await documentOf(api.GET('/admin/v1/users/{sub}/tokens', { params, signal }))) }
    },
    [name, client, resource, scope],
  )
  return (
    <Reading of={read}>
      {({ user, tokens, notes }) => (
        <>
          <About user={user} client={client} />
          {notes.map(note => (
            <p key={note} class="warning">
              {note.charAt(0).toUpperCase() + note.slice(1)}.
            </p>
          ))}
          {tokens.map(token => (
            <TokenClaims key={token.place} token={token} />
          ))}
        </>
      )}
    </Reading>
  )
}

function About({ user: { sub, username }, client }: { readonly user: User; readonly client: string }) {
  return (
    <p>
      A log-in of{' '}
      <a href={href(`/users/${sub}`)}>
        <bdi>{username}</bdi>
      </a>{' '}
      to <ClientLink id={client} /> at this moment, by password.
    </p>
  )
}

function TokenClaims({ token: { place, length, claims, rules } }: { readonly token: Token }) {
  return (
    <section aria-label={titles[place]}>
      <h3>
        {titles[place]}{' '}
        {place !== 'userinfo' && <span class="quiet">about {length.toLocaleString('en')} characters</span>}
      </h3>
      <dl class="claims">
        {Object.entries(claims).map(([name, value]) => (
          <div key={name}>
            <dt>
              <code>{name}</code>
            </dt>
            <dd>
              <code>{JSON.stringify(value)}</code>
              <br />
              <span class="quiet">{sentenceOf(rules[name] ?? '')}</span>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

const sentenceOf = (rule: string) => rule.charAt(0).toUpperCase() + rule.slice(1)
