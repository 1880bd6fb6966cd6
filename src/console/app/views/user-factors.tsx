import { api, documentOf, type Factors } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { query } from '../router.ts'

interface Factor {
  /** As the API names it. */
  readonly id: string
  readonly name: string
  /** What its owner does without it. */
  readonly without: string
}

/** What somebody proves with who it is, to be removed where it was lost. */
export function UserFactors({ sub }: { readonly sub: string }) {
  const read = useAnswer(
    signal => documentOf(api.GET('/admin/v1/users/{sub}/factors', { params: { path: { sub } }, signal })),
    [sub],
  )
  return (
    <Section title="Ways to log in">
      <Reading of={read}>
        {factors => (
          <>
            <ul class="rows">
              <li>
                <span class="row">Password</span>
                <span>{factors.password ? 'is set' : 'is not set'}</span>
              </li>
              {factorsOf(factors).map(factor => (
                <li key={factor.id}>
                  <span class="row">
                    <bdi>{factor.name}</bdi>
                  </span>
                  {maySeeAll.value && (
                    <ActButton act={`remove-${factor.id}`} isDanger>
                      Remove {factor.name}
                    </ActButton>
                  )}
                </li>
              ))}
            </ul>
            {factorsOf(factors)
              .filter(({ id }) => query.value.get('act') === `remove-${id}`)
              .map(factor => (
                <Remove key={factor.id} sub={sub} factor={factor} again={read.again} />
              ))}
          </>
        )}
      </Reading>
    </Section>
  )
}

function factorsOf({ totp, passkeys, recovery_codes_left: left }: Factors): readonly Factor[] {
  return [
    ...passkeys.map(({ id, name }) => ({
      id,
      name: `Passkey “${name}”`,
      without: 'It logs nobody in any more.',
    })),
    ...(totp
      ? [{ id: 'totp', name: 'Authenticator app', without: 'Its codes are not asked for any more.' }]
      : []),
    ...(left > 0
      ? [
          {
            id: 'recovery-codes',
            name: `Recovery codes (${left} left)`,
            without: 'None of them works any more.',
          },
        ]
      : []),
  ]
}

interface RemoveProps {
  readonly sub: string
  readonly factor: Factor
  readonly again: () => void
}

function Remove({ sub, factor: { id, name, without }, again }: RemoveProps) {
  return (
    <Act
      act={`remove-${id}`}
      title={`Remove: ${name}`}
      does="Remove"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(
          api.DELETE('/admin/v1/users/{sub}/factors/{factor}', { params: { path: { sub, factor: id } } }),
        )
        return `${name} was removed.`
      }}
    >
      <p>{without} Its owner is told by mail. Sessions go on.</p>
      <p>Be sure who asks for this: with a factor less, the account is easier to take over.</p>
    </Act>
  )
}
