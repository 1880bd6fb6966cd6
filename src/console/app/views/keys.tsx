import { api, documentOf, type Key } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { KeyTimeline } from '../parts/key-timeline.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { Time } from '../parts/time.tsx'
import { counted, durationText } from '../parts/words.ts'
import { href, query } from '../router.ts'

/** The keys that sign tokens: what they do now, and what will come. */
export function KeysView() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/keys', { signal })), [])
  const { again } = read
  return (
    <Page title="Signing keys" acts={<ActButton act="rotate">Rotate now</ActButton>}>
      <Reading of={read}>
        {({ items }) => (
          <>
            <KeyTimeline keys={items} />
            <RowList
              label="Signing keys"
              items={items}
              keyOf={key => key.kid}
              row={key => <KeyRow signing={key} />}
            />
            {items
              .filter(({ kid }) => query.value.get('act') === `revoke-${kid}`)
              .map(key => (
                <Revoke
                  key={key.kid}
                  signing={key}
                  next={items.find(other => other.alg === key.alg && other.state === 'next')}
                  again={again}
                />
              ))}
          </>
        )}
      </Reading>
      <Policy />
      <Act
        act="rotate"
        title="Rotate the signing keys"
        does="Rotate"
        onDone={again}
        run={async () => {
          const { items } = await documentOf(api.POST('/admin/v1/keys/rotate', { body: {} }))
          const last =
            items
              .map(({ effective_at }) => effective_at)
              .sort()
              .at(-1) ?? ''
          return `The next keys sign from ${new Date(last).toLocaleString('en-GB')} at the latest.`
        }}
      >
        <p>
          The next key of each algorithm signs as soon as every verifier can know it. The old ones go on to
          verify what they have signed. Nobody is logged out.
        </p>
        <p>If a key has leaked, revoke it instead.</p>
      </Act>
    </Page>
  )
}

function KeyRow({
  signing: { kid, alg, state, signs_from, retires_at, gone_at, revoke_reason },
}: {
  readonly signing: Key
}) {
  return (
    <>
      <span class="row">
        {kid.slice(0, 8)}… <span class="tag">{alg}</span> <span class="tag">{state ?? 'next'}</span>
      </span>
      <span>
        {state === 'next' && signs_from && (
          <>
            Signs <Time at={signs_from} />
          </>
        )}
        {state === 'next' && !signs_from && 'Signs after the one that signs now'}
        {state === 'active' && (
          <>
            Signs until it retires <Time at={retires_at} />
          </>
        )}
        {(state === 'retiring' || state === 'revoked') && (
          <>
            Gone <Time at={gone_at} />
          </>
        )}
        {revoke_reason !== null && <>, revoked: {revoke_reason}</>}
      </span>
      {state !== 'revoked' && (
        <ActButton act={`revoke-${kid}`} isDanger>
          Revoke
        </ActButton>
      )}
    </>
  )
}

interface RevokeProps {
  readonly signing: Key
  readonly next: Key | undefined
  readonly again: () => void
}

function Revoke({ signing: { kid, alg, state, live_tokens_at_most: tokens }, next, again }: RevokeProps) {
  return (
    <Act
      act={`revoke-${kid}`}
      title={`Revoke the key ${kid.slice(0, 8)}…`}
      does="Revoke it"
      isDanger
      onDone={again}
      run={async form => {
        const revoked = await documentOf(
          api.POST('/admin/v1/keys/{kid}/revoke', {
            params: { path: { kid } },
            body: { reason: textOf(form, 'reason') },
          }),
        )
        return {
          shown: (
            <>
              <p role="status">
                The key is revoked. {counted(revoked.live_tokens_at_most, 'token')} at most are refused from
                now on.
              </p>
              <p>
                Verifiers that look at the key set have forgotten it <Time at={revoked.forgotten_at} />.
              </p>
              {revoked.successor_unknown_until && (
                <p>
                  Its successor signs already; verifiers may fail to know it until{' '}
                  <Time at={revoked.successor_unknown_until} />.
                </p>
              )}
            </>
          ),
        }
      }}
    >
      <p>This is for a key that has leaked. It cannot be undone.</p>
      <ul>
        <li>
          Up to <strong>{counted(tokens, 'living token')}</strong> that it has signed are refused. Their apps
          get others by a refresh: sessions go on.
        </li>
        {state === 'active' && (
          <li>
            {next
              ? `The next key, ${next.kid.slice(0, 8)}…, signs ${alg} at once.`
              : `Another key for ${alg} is made, and signs at once.`}
          </li>
        )}
        <li>Verifiers that keep the key set take its tokens until they read the set again.</li>
      </ul>
      <Field
        label="Why"
        name="reason"
        required
        maxLength={200}
        hint="For the list of keys, the log and the audit trail"
      />
    </Act>
  )
}

function Policy() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/keys/policy', { signal })), [])
  return (
    <Section
      title="Policy"
      acts={
        <a class="button" href={href('/keys/policy')}>
          Change the policy
        </a>
      }
    >
      <Reading of={read}>
        {({ key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds, lead_seconds }) => (
          <p>
            A key signs for {durationText(key_rotation_seconds)}, after it has been published for{' '}
            {durationText(lead_seconds)}. Verifiers may keep the key set for{' '}
            {durationText(jwks_max_age_seconds)}, and their clocks may differ by{' '}
            {durationText(clock_skew_seconds)}.
          </p>
        )}
      </Reading>
    </Section>
  )
}
