import { api, documentOf, type Client } from '../api/api.ts'
import { Pages } from '../parts/pages.tsx'
import { Step, Steps } from '../parts/steps.tsx'
import { SessionsWillEnd } from '../parts/will-end.tsx'
import { href, query } from '../router.ts'

/** Of which client it was, and what to do. */
export function LeakedSecret() {
  const id = query.value.get('client')
  if (id !== null) return <StepsOf id={id} />
  return (
    <>
      <p>Of which client?</p>
      <Pages<Client>
        label="Clients"
        by=""
        read={(page, signal) => documentOf(api.GET('/admin/v1/clients', { params: { query: page }, signal }))}
        keyOf={({ client_id }) => client_id}
        row={({ client_id, client_name }) => (
          <>
            <a class="row" href={href('/leaked/secret', { client: client_id })}>
              <bdi>{client_id}</bdi>
            </a>
            <span>{client_name}</span>
          </>
        )}
        empty={<p>There are no clients.</p>}
      />
    </>
  )
}

function StepsOf({ id }: { readonly id: string }) {
  const act = (name: string) => href(`/clients/${encodeURIComponent(id)}`, { act: name })
  return (
    <>
      <p>
        It is about{' '}
        <strong>
          <bdi>{id}</bdi>
        </strong>
        . <a href={href('/leaked/secret')}>Another client</a>
      </p>
      <Steps>
        <Step title="A new secret" to={act('secret')} does="Make a new secret…">
          <p>
            Leave the old one no time: it is refused at once, and so is the app until it has the new one.
            Sessions go on. Where the client proves itself with a key, put another one in the place of it:{' '}
            <code>mintmark client set-keys --help</code>
          </p>
        </Step>
        <Step title="End what was begun with it" to={act('end')} does="End all sessions of it…">
          <SessionsWillEnd of={{ client_id: id }} />
          <p>
            All of its sessions end, those of people and of machines: everybody who is logged in to this app
            has to log in again. Needed where others could have used the secret to get tokens.
          </p>
        </Step>
        <Step title="Or close it" to={act('disable')} does="Disable the client…">
          <p>All of its sessions end, and it gets no tokens until you enable it. For an app that can wait.</p>
        </Step>
        <Step
          title="Look at what was done with it"
          to={href('/audit', { client_id: id })}
          does="What happened to this client"
        >
          <p>Log-ins from addresses that are none of the app’s, sessions of machines, refused attempts.</p>
        </Step>
      </Steps>
    </>
  )
}
