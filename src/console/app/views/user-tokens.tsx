import { api, documentOf, type PersonalToken } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { Time } from '../parts/time.tsx'
import { counted } from '../parts/words.ts'
import { href, query } from '../router.ts'

interface UserTokensProps {
  readonly sub: string
  readonly username: string
}

/** The personal access tokens of somebody that live. */
export function UserTokens({ sub, username }: UserTokensProps) {
  const params = { path: { sub } }
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/users/{sub}/personal-access-tokens', { params, signal })),
    [sub],
  )
  const { value, again } = read
  const chosen = value?.items.find(({ id }) => query.value.get('act') === `end-token-${id}`)
  return (
    <Section
      title="Personal access tokens"
      acts={
        value &&
        value.items.length > 1 && (
          <ActButton act="end-tokens" isDanger>
            End all tokens
          </ActButton>
        )
      }
    >
      <Reading of={read}>
        {({ items }) => (
          <RowList
            label="Personal access tokens"
            items={items}
            keyOf={({ id }) => id}
            row={token => <TokenRow token={token} />}
            none={<p class="quiet">There are none.</p>}
          />
        )}
      </Reading>
      {chosen && <EndToken sub={sub} username={username} token={chosen} again={again} />}
      {value && <EndTokens sub={sub} username={username} count={value.items.length} again={again} />}
    </Section>
  )
}

function TokenRow({
  token: { id, name, resource, scope, created_at, last_used_at, expires_at },
}: {
  readonly token: PersonalToken
}) {
  return (
    <>
      <a class="row" href={href(`/sessions/${id}`)}>
        <bdi>{name}</bdi>
      </a>
      <span>
        For <bdi>{resource}</bdi>
        {scope.length > 0 && <>, with {scope.join(' ')}</>}. Used <Time at={last_used_at} />; made{' '}
        <Time at={created_at} />; ends <Time at={expires_at} />.
      </span>
      <ActButton act={`end-token-${id}`} isDanger>
        End {name}
      </ActButton>
    </>
  )
}

interface EndProps extends UserTokensProps {
  readonly again: () => void
}

function EndToken({
  sub,
  username,
  token: { id, name, resource },
  again,
}: EndProps & { readonly token: PersonalToken }) {
  return (
    <Act
      act={`end-token-${id}`}
      title={`End the token “${name}” of ${username}`}
      does="End it"
      isDanger
      onDone={again}
      run={async () => {
        const params = { path: { sub, id } }
        await documentOf(api.DELETE('/admin/v1/users/{sub}/personal-access-tokens/{id}', { params }))
        return `The token “${name}” has ended.`
      }}
    >
      <p>
        Whatever calls <bdi>{resource}</bdi> with it is refused from then on, and so is what was exchanged for
        it. This cannot be undone: {username} has to make another one. Log-ins and other tokens go on.
      </p>
    </Act>
  )
}

function EndTokens({ sub, username, count, again }: EndProps & { readonly count: number }) {
  return (
    <Act
      act="end-tokens"
      title={`End all tokens of ${username}`}
      does="End them"
      isDanger
      onDone={again}
      run={async () => {
        const ending = api.POST('/admin/v1/users/{sub}/end-personal-access-tokens', {
          params: { path: { sub } },
        })
        const { tokens_revoked: ended } = await documentOf(ending)
        return `${counted(ended, 'token')} of ${username} ended.`
      }}
    >
      <p class="ends">
        This ends <strong>{counted(count, 'token')}</strong>.
      </p>
      <p>
        Every script and program that uses one of them is refused from then on. This cannot be undone:{' '}
        {username} has to make others. Log-ins go on.
      </p>
    </Act>
  )
}
