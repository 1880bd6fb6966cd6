import { api, documentOf, readOf, type Read, type Resource } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Changes } from '../parts/changes.tsx'
import { Facts } from '../parts/facts.tsx'
import { Check } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { durationText } from '../parts/words.ts'
import { go, href } from '../router.ts'

/** One API. */
export function ResourceView({ uri }: { readonly uri: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/resources/{uri}', { params: { path: { uri } }, signal })),
    [uri],
  )
  return (
    <Page
      title={uri}
      above={<a href={href('/resources')}>Resources</a>}
      acts={
        read.value && (
          <>
            <ActButton act="change">Change</ActButton>
            <ActButton act="delete" isDanger>
              Delete
            </ActButton>
          </>
        )
      }
    >
      <Reading of={read}>
        {found => (
          <>
            <About resource={found.value} />
            <Acts of={found} again={read.again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function About({ resource }: { readonly resource: Resource }) {
  const {
    scope,
    scope_words: words,
    alg,
    previous_alg: before,
    access_token_ttl: ttl,
    status,
    personal_access_tokens: tokens,
    created_at,
  } = resource
  return (
    <Facts
      facts={[
        ...scope.map(one => [`Scope ${one}`, words[one] ?? 'no words for people who are asked'] as const),
        ['Signed with', before === null ? alg : `${before}, and ${alg} as soon as verifiers know a key`],
        ['Access tokens live', ttl === null ? 'as long as the server’s setting says' : durationText(ttl)],
        ['Tokens say where their status is listed', status ? 'yes' : 'no'],
        ['Personal access tokens', tokens ? 'people make them for it' : 'it takes none'],
        ['Added', <Time at={created_at} />],
      ]}
    />
  )
}

function Acts({
  of: { value: resource, etag },
  again,
}: {
  readonly of: Read<Resource>
  readonly again: () => void
}) {
  const { uri } = resource
  const params = { path: { uri }, header: { 'if-match': etag } }
  return (
    <>
      <Changes
        act="change"
        title={`Change ${uri}`}
        does="Change"
        schema="ResourceChanges"
        values={resource}
        onDone={again}
        run={async body => {
          const { warnings } = await documentOf(api.PATCH('/admin/v1/resources/{uri}', { params, body }))
          return ['The resource was changed.', ...warnings].join(' ')
        }}
      />
      <Act
        act="delete"
        title={`Delete ${uri}`}
        does="Delete"
        isDanger
        run={async form => {
          const query = textOf(form, 'force') === 'true' ? { force: true } : {}
          const deleting = api.DELETE('/admin/v1/resources/{uri}', { params: { ...params, query } })
          const { taken_from: takenFrom } = await documentOf(deleting)
          go(href('/resources'), { replace: true })
          return [
            `${uri} was deleted.`,
            ...takenFrom.map(id => `${id} may not ask for its tokens any more.`),
          ].join(' ')
        }}
      >
        <p>No new tokens are for it. Those that there are run out by themselves.</p>
        <Check
          label="Take it from the clients that use it"
          name="force"
          hint="Otherwise it is not deleted as long as there are any"
        />
      </Act>
    </>
  )
}
