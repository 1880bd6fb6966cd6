import { api, documentOf } from '../api/api.ts'
import { Act } from '../parts/act.tsx'
import { Check, Field } from '../parts/field.tsx'
import { itemsIn, textOf } from '../parts/form-data.ts'
import { ClientLink } from '../parts/links.tsx'
import { Secret } from '../parts/secret.tsx'

/** Adds an app that logs people in; the rest is changed afterwards. */
export function NewClient({ onDone }: { readonly onDone: () => void }) {
  return (
    <Act
      act="create"
      title="Add a client"
      does="Add"
      onDone={onDone}
      run={async form => {
        const isPublic = textOf(form, 'public') === 'true'
        const name = textOf(form, 'client_name')
        const grants = itemsIn(form, 'grant_types')
        const body = {
          client_id: textOf(form, 'client_id'),
          public: isPublic,
          grant_types: grants,
          scope: itemsIn(form, 'scope'),
          resources: itemsIn(form, 'resources'),
          redirect_uris: itemsIn(form, 'redirect_uris'),
          ...(name !== '' && { client_name: name }),
        }
        const made = await documentOf(api.POST('/admin/v1/clients', { body }))
        return {
          shown: (
            <>
              <p>
                <ClientLink id={made.client_id} /> was added.
              </p>
              {made.client_secret !== undefined && (
                <Secret name="Its client secret" value={made.client_secret} />
              )}
              {made.warnings.map(warning => (
                <p key={warning}>{warning}</p>
              ))}
            </>
          ),
        }
      }}
    >
      <Field
        label="Id"
        name="client_id"
        required
        pattern="[A-Za-z0-9._~\-]{1,128}"
        hint="Letters, digits, and . _ ~ -"
      />
      <Field label="Name" name="client_name" hint="What pages call it" />
      <Check label="It cannot keep a secret" name="public" hint="An app in a browser or on a phone" />
      <Field
        label="Grants"
        name="grant_types"
        lines={2}
        defaultValue={'authorization_code\nrefresh_token'}
        hint="authorization_code and refresh_token to log people in; client_credentials for a program alone"
      />
      <Field
        label="Redirect URIs"
        name="redirect_uris"
        lines={2}
        hint="Where people who have logged in come back to"
      />
      <Field
        label="Resources"
        name="resources"
        lines={2}
        hint="The URIs of the APIs that it asks tokens for"
      />
      <Field label="Scopes" name="scope" lines={2} hint="What it may ask for" />
    </Act>
  )
}
