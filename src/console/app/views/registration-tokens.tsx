import { api, documentOf, type RegistrationToken } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { now } from '../auth/proof.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { Secret } from '../parts/secret.tsx'
import { Time } from '../parts/time.tsx'
import { counted } from '../parts/words.ts'
import { href, query } from '../router.ts'

/** The tokens with which clients register themselves (RFC 7591). */
export function RegistrationTokensView() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/registration-tokens', { signal })), [])
  const chosen = read.value?.items.find(({ id }) => query.value.get('act') === `delete-${id}`)
  return (
    <Page
      title="Registration tokens"
      above={<a href={href('/clients')}>Clients</a>}
      acts={<ActButton act="create">Make a token</ActButton>}
    >
      <p class="quiet">
        With such a token a client registers itself, where MINTMARK_CLIENT_REGISTRATION is token (Dynamic
        Client Registration). Give it to whom you let do that.
      </p>
      <Reading of={read}>
        {({ items }) => (
          <RowList
            label="Registration tokens"
            items={items}
            keyOf={({ id }) => id}
            row={token => <TokenRow token={token} />}
            none={<NoTokens />}
          />
        )}
      </Reading>
      <Create again={read.again} />
      {chosen && <Delete token={chosen} again={read.again} />}
    </Page>
  )
}

const nameOf = ({ id, name }: RegistrationToken) => name ?? id

function TokenRow({ token }: { readonly token: RegistrationToken }) {
  const { id, clients_made: made, clients_max: most, expires_at: endsAt, created_at } = token
  const isOver = Date.parse(endsAt) / 1000 <= now()
  return (
    <>
      <span class="row">
        <bdi>{nameOf(token)}</bdi>
      </span>
      <span>
        {made} of {counted(most, 'client')} made. Made <Time at={created_at} />; good until{' '}
        <Time at={endsAt} />. {isOver && <span class="tag bad">over</span>}
        {made >= most && <span class="tag">used up</span>}
      </span>
      <ActButton act={`delete-${id}`} isDanger>
        End {nameOf(token)}
      </ActButton>
    </>
  )
}

function NoTokens() {
  return (
    <div class="empty">
      <p>There are none. Make one here, or on the host:</p>
      <pre>
        <code>mintmark client registration-token create --name "Notes team"</code>
      </pre>
    </div>
  )
}

/** Days that a token may be good, and the clients that it may make, unless told. */
const usual = { days: 7, clients: 10 }

function Create({ again }: { readonly again: () => void }) {
  return (
    <Act
      act="create"
      title="Make a registration token"
      does="Make it"
      onDone={again}
      run={async form => {
        const name = textOf(form, 'name')
        const body = {
          ...(name !== '' && { name }),
          clients_max: Number(textOf(form, 'clients_max')),
          life_seconds: Number(textOf(form, 'days')) * 86_400,
        }
        const { token } = await documentOf(api.POST('/admin/v1/registration-tokens', { body }))
        return { shown: <Secret name="The token" value={token} kept="nothing of it is stored" /> }
      }}
    >
      <p>
        Who has it registers clients of its own. People are told on the consent page that nobody here has made
        them.
      </p>
      <Field label="For whom" name="name" maxLength={100} hint="For you alone" />
      <Field
        label="Clients"
        name="clients_max"
        type="number"
        required
        min={1}
        max={1000}
        defaultValue={String(usual.clients)}
        hint="How many it may make"
      />
      <Field
        label="Days"
        name="days"
        type="number"
        required
        min={1}
        max={365}
        defaultValue={String(usual.days)}
        hint="How long it is good"
      />
    </Act>
  )
}

interface DeleteProps {
  readonly token: RegistrationToken
  readonly again: () => void
}

function Delete({ token, again }: DeleteProps) {
  const { id, clients_made: made } = token
  return (
    <Act
      act={`delete-${id}`}
      title={`End the registration token ${nameOf(token)}`}
      does="End it"
      isDanger
      onDone={again}
      run={async () => {
        const params = { path: { id } }
        await documentOf(api.DELETE('/admin/v1/registration-tokens/{id}', { params }))
        return `The registration token ${nameOf(token)} has ended.`
      }}
    >
      <p>
        No more clients are registered with it.{' '}
        {made > 0 && (
          <>The {counted(made, 'client')} that it has made stay: disable or delete them where needed.</>
        )}
      </p>
    </Act>
  )
}
