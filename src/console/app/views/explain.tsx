import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page, Section } from '../parts/page.tsx'
import { query, setQuery } from '../router.ts'
import { ExplainedRequest } from './explained-request.tsx'
import { ExplainedTokens } from './explained-tokens.tsx'

const members = ['user', 'client', 'resource', 'scope', 'request'] as const

/** Why tokens say what they say, and what became of a request. The address has the question. */
export function ExplainView() {
  const given = (name: (typeof members)[number]) => query.value.get(name) ?? ''
  const [user, client, request] = [given('user'), given('client'), given('request')]
  const ask = (wanted: readonly (typeof members)[number][]) => (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    setQuery(Object.fromEntries(members.map(name => [name, wanted.includes(name) ? textOf(form, name) : ''])))
  }
  const by = members.map(given).join('\n')
  return (
    <Page title="Explain">
      <Section title="What a token says, and why">
        <p class="quiet">
          The claims of the tokens that a log-in would get now, made by what makes tokens, and the rule that
          puts each there. Nothing is stored, and there is nothing to use. On the host:{' '}
          <code>mintmark explain USER CLIENT</code>
        </p>
        <form key={by} class="filters" role="search" aria-label="Tokens" onSubmit={ask(members.slice(0, 4))}>
          <Field
            label="User"
            name="user"
            required
            defaultValue={user}
            hint="The name to log in with, or a sub"
          />
          <Field label="Client" name="client" required defaultValue={client} hint="The id of the app" />
          <Field
            label="Resource"
            name="resource"
            defaultValue={given('resource')}
            hint="The URI of the API; without it the client’s first"
          />
          <Field
            label="Scope"
            name="scope"
            defaultValue={given('scope')}
            hint="What is asked for; without it all that the client may"
          />
          <div class="acts">
            <button>Explain the tokens</button>
          </div>
        </form>
        {user !== '' && client !== '' && (
          <ExplainedTokens
            key={by}
            user={user}
            client={client}
            resource={given('resource')}
            scope={given('scope')}
          />
        )}
      </Section>
      <Section title="What became of a request">
        <p class="quiet">
          Each answer has the id of its request in the header x-request-id, and each page of an error shows
          it.
        </p>
        <form key={by} class="search" role="search" aria-label="A request" onSubmit={ask(['request'])}>
          <Field label="Request" name="request" required maxLength={255} defaultValue={request} />
          <button>Explain the request</button>
        </form>
        {request !== '' && <ExplainedRequest key={request} id={request} />}
      </Section>
    </Page>
  )
}
