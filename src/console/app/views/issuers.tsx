import { api, documentOf, type TrustedIssuer } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { ActButton } from '../parts/act.tsx'
import { Changes } from '../parts/changes.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { counted } from '../parts/words.ts'
import { go, href } from '../router.ts'

/** The outside issuers that say which client a program is (RFC 7523). */
export function IssuersView() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/issuers', { signal })), [])
  return (
    <Page
      title="Trusted issuers"
      above={<a href={href('/clients')}>Clients</a>}
      acts={<ActButton act="create">Trust an issuer</ActButton>}
    >
      <p class="quiet">
        A CI, a cluster or another cloud that says which client a program is, so that it needs no secret.
      </p>
      <Reading of={read}>
        {({ items }) => (
          <RowList
            label="Trusted issuers"
            items={items}
            keyOf={({ issuer }) => issuer}
            row={one => <IssuerRow issuer={one} />}
            none={<NoIssuers />}
          />
        )}
      </Reading>
      <Changes
        act="create"
        title="Trust an issuer"
        does="Trust it"
        schema="NewTrustedIssuer"
        without={['issuer', 'subjects']}
        values={{}}
        run={async (changes, form) => {
          const issuer = textOf(form, 'issuer_url')
          const body = { issuer, ...changes }
          const { warnings } = await documentOf(api.POST('/admin/v1/issuers', { body }))
          go(href(`/issuers/${encodeURIComponent(issuer)}`), { replace: true })
          return [`${issuer} is trusted. Add the subjects that it may name.`, ...warnings].join(' ')
        }}
      >
        <Field
          label="Issuer"
          name="issuer_url"
          type="url"
          required
          maxLength={500}
          hint="The iss of its JWTs, to the last slash: https://token.actions.githubusercontent.com"
        />
      </Changes>
    </Page>
  )
}

function IssuerRow({ issuer: { issuer, subjects } }: { readonly issuer: TrustedIssuer }) {
  const clients = [...new Set(subjects.map(({ client }) => client))]
  return (
    <>
      <a class="row" href={href(`/issuers/${encodeURIComponent(issuer)}`)}>
        <bdi>{issuer}</bdi>
      </a>
      <span>
        {subjects.length === 0
          ? 'names no client yet'
          : `${counted(subjects.length, 'subject')} for ${clients.slice(0, 5).join(', ')}${clients.length > 5 ? ', …' : ''}`}
      </span>
    </>
  )
}

function NoIssuers() {
  return (
    <div class="empty">
      <p>None is trusted. Trust one here, or on the host:</p>
      <pre>
        <code>mintmark issuer create --help</code>
      </pre>
    </div>
  )
}
