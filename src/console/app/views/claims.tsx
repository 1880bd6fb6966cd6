import { api, documentOf, type OwnClaim } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { go, href } from '../router.ts'
import { ClaimFields, readClaim, sourceText } from './claim-form.tsx'

/** Claims of the installation's own. */
export function ClaimsView() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/claims', { signal })), [])
  return (
    <Page title="Claims of your own" acts={<ActButton act="create">Add a claim</ActButton>}>
      <p class="quiet">
        What tokens say beside the claims of the standards. One is in no token before a resource or a client
        wants it. <a href={href('/explain')}>See what a token says, and why</a>.
      </p>
      <Reading of={read}>
        {({ items }) => (
          <RowList
            label="Claims"
            items={items}
            keyOf={claim => claim.name}
            row={claim => <ClaimRow claim={claim} />}
            none={<NoClaims />}
          />
        )}
      </Reading>
      <Create />
    </Page>
  )
}

function ClaimRow({ claim: { name, kind, source } }: { readonly claim: OwnClaim }) {
  return (
    <>
      <a class="row" href={href(`/claims/${encodeURIComponent(name)}`)}>
        <bdi>{name}</bdi>
      </a>
      <span>{sourceText(source)}</span>
      <span class="tag">{kind}</span>
    </>
  )
}

function NoClaims() {
  return (
    <div class="empty">
      <p>
        There are none yet. Add one for what your APIs want to know and no standard has a name for. On the
        host:
      </p>
      <pre>
        <code>mintmark claim create plan --from-roles gold=gold silver=silver --otherwise free</code>
      </pre>
    </div>
  )
}

function Create() {
  return (
    <Act
      act="create"
      title="Add a claim"
      does="Add"
      run={async form => {
        const body = { name: textOf(form, 'name'), ...readClaim(form) }
        await documentOf(api.POST('/admin/v1/claims', { body }))
        go(href(`/claims/${encodeURIComponent(body.name)}`), { replace: true })
        return `The claim ${body.name} was added. It is in no token before something wants it.`
      }}
    >
      <Field
        label="Name"
        name="name"
        required
        maxLength={100}
        pattern="[A-Za-z][^\s\x22\x5c]*"
        title="A letter first; no spaces, quotes and backslashes"
        hint="As tokens have it; no name of a standard. With your domain in it, it is nobody else’s"
      />
      <ClaimFields />
    </Act>
  )
}
