import { api, documentOf, type Resource } from '../api/api.ts'
import { ActButton } from '../parts/act.tsx'
import { Changes } from '../parts/changes.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { go, href } from '../router.ts'

/** The APIs that access tokens are for. */
export function ResourcesView() {
  return (
    <Page title="Resources" acts={<ActButton act="create">Add a resource</ActButton>}>
      <p class="quiet">A resource is an API that access tokens are for: their audience.</p>
      <Pages<Resource>
        label="Resources"
        by=""
        read={(page, signal) =>
          documentOf(
            api.GET('/admin/v1/resources', {
              params: { query: page },
              signal,
            }),
          )
        }
        keyOf={resource => resource.uri}
        row={({ uri, scope, alg }) => (
          <>
            <a class="row" href={href(`/resources/${encodeURIComponent(uri)}`)}>
              <bdi>{uri}</bdi>
            </a>
            <span>{scope.length > 0 ? scope.join(' ') : 'no scopes'}</span>
            <span class="tag">{alg}</span>
          </>
        )}
        empty={
          <>
            <p>There are no resources yet. Add one for each API. On the host:</p>
            <pre>
              <code>mintmark resource create https://api.example.com --scope read write</code>
            </pre>
          </>
        }
      />
      <Changes
        act="create"
        title="Add a resource"
        does="Add"
        schema="NewResource"
        without={['uri']}
        values={{ alg: 'ES256', status: true }}
        run={async (changes, form) => {
          const uri = textOf(form, 'resource_uri')
          await documentOf(api.POST('/admin/v1/resources', { body: { uri, ...changes } }))
          go(href(`/resources/${encodeURIComponent(uri)}`), { replace: true })
          return `${uri} was added.`
        }}
      >
        <Field
          label="URI"
          name="resource_uri"
          type="url"
          required
          hint="Absolute, without a fragment: https://api.example.com"
        />
      </Changes>
    </Page>
  )
}
