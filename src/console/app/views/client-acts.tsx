import type { ComponentType } from 'preact'
import { api, documentOf, type Client, type Read } from '../api/api.ts'
import { Problem } from '../api/problem.ts'
import { Act } from '../parts/act.tsx'
import { Changes } from '../parts/changes.tsx'
import { Field } from '../parts/field.tsx'
import { patternOf, textOf } from '../parts/form-data.ts'
import { Secret } from '../parts/secret.tsx'
import { SessionsWillEnd } from '../parts/will-end.tsx'
import { go, href } from '../router.ts'

interface ClientActsProps {
  readonly of: Read<Client>
  readonly again: () => void
}

/** All that can be done to a client: one dialog each, made to the state that is on the screen. */
export function ClientActs({ of: { value: client, etag }, again }: ClientActsProps) {
  const params = { path: { client_id: client.client_id }, header: { 'if-match': etag } }
  return (
    <>
      {acts.map(Dialog => (
        <Dialog key={Dialog.name} client={client} params={params} again={again} />
      ))}
    </>
  )
}

interface DialogProps {
  readonly client: Client
  readonly params: { readonly path: { client_id: string }; readonly header: { 'if-match': string } }
  readonly again: () => void
}

function Change({ client, params, again }: DialogProps) {
  return (
    <Changes
      act="change"
      title={`Change ${client.client_id}`}
      does="Change"
      schema="ClientChanges"
      values={client}
      onDone={again}
      run={async body => {
        const { warnings } = await documentOf(api.PATCH('/admin/v1/clients/{client_id}', { params, body }))
        return ['The client was changed. Its sessions go on.', ...warnings].join(' ')
      }}
    />
  )
}

function NewSecret({ client: { client_id: id }, params, again }: DialogProps) {
  return (
    <Act
      act="secret"
      title={`A new secret for ${id}`}
      does="Make it"
      isDanger
      onDone={again}
      run={async form => {
        const hours = Number(textOf(form, 'hours'))
        const body = hours > 0 ? { keep_old_seconds: hours * 3600 } : {}
        const made = await documentOf(api.POST('/admin/v1/clients/{client_id}/secret', { params, body }))
        return { shown: <Secret name="The new client secret" value={made.client_secret} /> }
      }}
    >
      <p>
        The old secret works as long as you say here, so that the app can be given the new one without a
        break. If it has leaked, leave no time.
      </p>
      <Field
        label="Hours for which the old one works too"
        name="hours"
        type="number"
        min={0}
        max={720}
        defaultValue="0"
      />
    </Act>
  )
}

function SetKeys({ client: { client_id: id, ...client }, params, again }: DialogProps) {
  const hasSecret = client.client_secret_id !== null
  return (
    <Act
      act="keys"
      title={`Public keys of ${id}`}
      does="Set them"
      isDanger
      onDone={again}
      run={async form => {
        const [jwks, uri] = [textOf(form, 'jwks'), textOf(form, 'jwks_uri')]
        const hours = Number(textOf(form, 'hours'))
        const body = {
          ...(jwks !== '' && { jwks: readKeys(jwks) }),
          ...(uri !== '' && { jwks_uri: uri }),
          ...(hours > 0 && { keep_old_seconds: hours * 3600 }),
        }
        const { warnings } = await documentOf(
          api.POST('/admin/v1/clients/{client_id}/keys', { params, body }),
        )
        return ['The client has these keys now.', ...warnings].join(' ')
      }}
    >
      <p>
        The client proves who it is by signing with its own private key, which nobody else has ever seen. Say
        either where it publishes the public keys, or what they are.
      </p>
      <Field
        label="JWKS URI"
        name="jwks_uri"
        type="url"
        defaultValue={client.jwks_uri ?? ''}
        hint="Where it publishes them: it can change them by itself then"
      />
      <Field
        label="JWKS"
        name="jwks"
        lines={6}
        defaultValue={client.jwks ? JSON.stringify(client.jwks, null, 2) : ''}
        hint="A JSON Web Key Set of public keys"
      />
      {hasSecret && (
        <Field
          label="Hours for which the secret works too"
          name="hours"
          type="number"
          min={0}
          max={720}
          defaultValue="0"
        />
      )}
    </Act>
  )
}

/** Throws a `Problem` that says where the text is no JSON. */
function readKeys(text: string) {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Problem({ status: 400, code: 'invalid', detail: `These are no keys: ${String(error)}.` })
  }
}

function EndAll({ client: { client_id: id }, params: { path }, again }: DialogProps) {
  return (
    <Act
      act="end"
      title={`End all sessions of ${id}`}
      does="End them"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/clients/{client_id}/end-sessions', { params: { path } }))
        return 'All sessions of the client have ended.'
      }}
    >
      <SessionsWillEnd of={{ client_id: id }} />
      <p>
        Everybody who is logged in to {id} has to log in to it again. It may begin other sessions at once.
      </p>
    </Act>
  )
}

function Disable({ client: { client_id: id }, params, again }: DialogProps) {
  return (
    <Act
      act="disable"
      title={`Disable ${id}`}
      does="Disable"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/clients/{client_id}/disable', { params }))
        return `${id} is disabled, and its sessions have ended.`
      }}
    >
      <SessionsWillEnd of={{ client_id: id }} />
      <p>
        It gets no tokens from now on, and all of its sessions end: nobody can use it until it is enabled.
      </p>
    </Act>
  )
}

function Enable({ client: { client_id: id }, params, again }: DialogProps) {
  return (
    <Act
      act="enable"
      title={`Enable ${id}`}
      does="Enable"
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/clients/{client_id}/enable', { params }))
        return `${id} may ask for tokens again.`
      }}
    >
      <p>It may ask for tokens again. Sessions that have ended stay ended.</p>
    </Act>
  )
}

function Delete({ client: { client_id: id }, params }: DialogProps) {
  return (
    <Act
      act="delete"
      title={`Delete ${id}`}
      does="Delete for good"
      isDanger
      run={async () => {
        await documentOf(api.DELETE('/admin/v1/clients/{client_id}', { params }))
        go(href('/clients'), { replace: true })
        return `${id} was deleted.`
      }}
    >
      <SessionsWillEnd of={{ client_id: id }} />
      <p>All of its sessions end, and what people have allowed it is forgotten. This cannot be undone.</p>
      <Field label={`Type ${id} to confirm`} name="name" required pattern={patternOf(id)} />
    </Act>
  )
}

const acts: readonly ComponentType<DialogProps>[] = [
  Change,
  NewSecret,
  SetKeys,
  EndAll,
  Disable,
  Enable,
  Delete,
]
