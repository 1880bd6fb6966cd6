import { api, readOf, type Client } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { labelOf } from '../parts/schema-fields.tsx'
import { Time } from '../parts/time.tsx'
import { durationText } from '../parts/words.ts'
import { href } from '../router.ts'
import { ClientActs } from './client-acts.tsx'
import { ClientSessions } from './client-sessions.tsx'

/** Sees to itself, and is not changed by hand. */
const consoleId = 'mintmark-console'

/** One client: what it may, and what it proves itself with. */
export function ClientView({ id }: { readonly id: string }) {
  const read = useAnswer(
    signal =>
      readOf(api.GET('/admin/v1/clients/{client_id}', { params: { path: { client_id: id } }, signal })),
    [id],
  )
  return (
    <Page
      title={id}
      above={<a href={href('/clients')}>Clients</a>}
      acts={read.value && <ActButtons client={read.value.value} />}
    >
      <Reading of={read}>
        {found => (
          <>
            <About client={found.value} />
            <ClientSessions key={read.times} id={id} />
            <ClientActs of={found} again={read.again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

const hasSecret = ({ client_secret_id }: Client) => client_secret_id !== null
const hasKeys = ({ jwks, jwks_uri }: Client) => jwks !== null || jwks_uri !== null

function ActButtons({ client }: { readonly client: Client }) {
  const isOwn = client.client_id === consoleId
  return (
    <>
      {!isOwn && <ActButton act="change">Change</ActButton>}
      {hasSecret(client) && <ActButton act="secret">New secret</ActButton>}
      {(hasSecret(client) || hasKeys(client)) && (
        <ActButton act="keys">{hasKeys(client) ? 'Other keys' : 'Keys instead'}</ActButton>
      )}
      <ActButton act="end" isDanger>
        End all sessions
      </ActButton>
      {client.disabled_at === null ? (
        <ActButton act="disable" isDanger>
          Disable
        </ActButton>
      ) : (
        <ActButton act="enable">Enable</ActButton>
      )}
      {!isOwn && (
        <ActButton act="delete" isDanger>
          Delete
        </ActButton>
      )}
    </>
  )
}

/** Told apart from what a client may. */
const ofProof: ReadonlySet<string> = new Set([
  'public',
  'token_endpoint_auth_method',
  'client_secret_id',
  'credentials_set_at',
  'old_secret_expires_at',
  'jwks',
  'jwks_uri',
  'keys_expire_at',
  'tls_subject',
  'tls_self_signed',
  'federated',
])

const elsewhere: ReadonlySet<string> = new Set(['client_id', 'disabled_at'])

function About({ client }: { readonly client: Client }) {
  const members = Object.entries(client).filter(([name]) => !elsewhere.has(name))
  const facts = (wanted: boolean) =>
    members
      .filter(([name]) => ofProof.has(name) === wanted)
      .map(([name, value]) => [labelOf(name), valueText(name, value)] as const)
  return (
    <>
      {client.disabled_at !== null && (
        <p class="problem">
          Disabled <Time at={client.disabled_at} />: it gets no tokens.
        </p>
      )}
      <Section
        title="What it may do"
        acts={
          <a class="button" href={href('/explain', { client: client.client_id })}>
            What its tokens say
          </a>
        }
      >
        <Facts facts={facts(false)} />
      </Section>
      <Section title="How it proves who it is">
        <Facts facts={facts(true)} />
      </Section>
    </>
  )
}

/** Undefined where nothing is said of it. */
function valueText(name: string, value: unknown) {
  if (value === null || value === false || (Array.isArray(value) && value.length === 0)) return undefined
  if (value === true) return 'yes'
  if (/_at$/.test(name)) return <Time at={String(value)} />
  if (/_ttl$/.test(name)) return durationText(Number(value))
  if (Array.isArray(value))
    return value.map(item => (
      <span key={String(item)}>
        {String(item)}
        <br />
      </span>
    ))
  if (typeof value === 'object')
    return (
      <pre>
        <code>{JSON.stringify(value, null, 2)}</code>
      </pre>
    )
  return String(value)
}
