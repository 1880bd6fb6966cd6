import { useState } from 'preact/hooks'
import { api, documentOf, type Client } from '../api/api.ts'
import { ActButton } from '../parts/act.tsx'
import { ClientLink } from '../parts/links.tsx'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { href } from '../router.ts'
import { NewClient } from './new-client.tsx'

/** The apps that ask for tokens, and the APIs that look at them. */
export function ClientsView() {
  const [times, setTimes] = useState(0)
  return (
    <Page
      title="Clients"
      acts={
        <>
          <ActButton act="create">Add a client</ActButton>
          <a class="button" href={href('/registration-tokens')}>
            Registration tokens
          </a>
          <a class="button" href={href('/issuers')}>
            Trusted issuers
          </a>
        </>
      }
    >
      <Pages<Client>
        label="Clients"
        by={String(times)}
        read={(page, signal) =>
          documentOf(
            api.GET('/admin/v1/clients', {
              params: { query: page },
              signal,
            }),
          )
        }
        keyOf={client => client.client_id}
        row={client => <ClientRow client={client} />}
        empty={
          <>
            <p>There are no clients yet. Add one for each app that logs people in. On the host:</p>
            <pre>
              <code>mintmark client create --help</code>
            </pre>
          </>
        }
      />
      <NewClient onDone={() => setTimes(times + 1)} />
    </Page>
  )
}

function ClientRow({ client }: { readonly client: Client }) {
  const { client_id: id, client_name, grant_types, disabled_at, public: isPublic, admin } = client
  return (
    <>
      <ClientLink id={id} isRow />
      <span>
        {client_name !== null && (
          <>
            <bdi>{client_name}</bdi>,{' '}
          </>
        )}
        {isPublic ? 'public' : 'confidential'}
      </span>
      <span>
        {disabled_at !== null && <span class="tag bad">disabled</span>}{' '}
        {admin && <span class="tag">administers</span>}{' '}
        {grant_types.map(grant => (
          <span class="tag" key={grant}>
            {grant}
          </span>
        ))}
      </span>
    </>
  )
}
