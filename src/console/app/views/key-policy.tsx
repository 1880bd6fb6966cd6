import { formatDuration, parseDuration } from '../../../values/duration.ts'
import { api, documentOf, readOf, type KeyPolicy, type Read } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { Page, Section } from '../parts/page.tsx'
import { ProblemNote } from '../parts/problem-note.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { durationText } from '../parts/words.ts'
import { href, query, setQuery } from '../router.ts'

/** What can be set, by the names of the API. */
const settings = [
  ['key_rotation_seconds', 'A key signs for', 'Then the next one signs: 1m to 3650d'],
  [
    'jwks_max_age_seconds',
    'Verifiers may keep the key set for',
    '1s to 7d; a key is published twice as long before it signs',
  ],
  [
    'clock_skew_seconds',
    'Their clocks may differ by',
    '0s to 10m; an old key stays published so much longer',
  ],
] as const

type Setting = (typeof settings)[number][0]
type Settings = { readonly [Name in Setting]?: number }

const path = '/admin/v1/keys/policy'

/** How often keys change, and what another policy would do before it is made. */
export function KeyPolicyView() {
  const read = useAnswer(signal => readOf(api.GET(path, { signal })), [])
  return (
    <Page title="Key policy" above={<a href={href('/keys')}>Signing keys</a>}>
      <p class="quiet">
        All servers keep to it. Which algorithm signs is chosen by each{' '}
        <a href={href('/resources')}>resource</a>, and for ID tokens by each{' '}
        <a href={href('/clients')}>client</a>.
      </p>
      <Reading of={read}>
        {found => (
          <>
            <Outlook policy={found.value} />
            <Wanted policy={found.value} />
            <Change of={found} again={read.again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function Outlook({ policy }: { readonly policy: KeyPolicy }) {
  return (
    <>
      <Facts
        facts={[
          ...settings.map(([name, label]) => [label, durationText(policy[name])] as const),
          ['A key is published before it signs for', durationText(policy.lead_seconds)],
          ...policy.rotations.map(
            ({ alg, retires_at }) => [`The next ${alg} key signs`, <Time at={retires_at} />] as const,
          ),
        ]}
      />
      {[policy.warning, policy.note].map(text => text !== null && <Note key={text} text={text} />)}
    </>
  )
}

function Note({ text }: { readonly text: string }) {
  return <p class="warning gap">{text.charAt(0).toUpperCase() + text.slice(1)}.</p>
}

const nothing = Object.fromEntries(settings.map(([name]) => [name, '']))

/** What is wanted, in the address: the dialog says what follows from it. */
function Wanted({ policy }: { readonly policy: KeyPolicy }) {
  return (
    <Section title="Another policy">
      <form
        key={JSON.stringify(policy)}
        class="filters"
        onSubmit={event => {
          event.preventDefault()
          const form = new FormData(event.currentTarget)
          const given = settings.map(([name]) => [name, textOf(form, name)] as const)
          // Somebody else may have changed the others.
          const isChanged = ([name, text]: (typeof given)[number]) => parseDuration(text) !== policy[name]
          setQuery({ ...nothing, ...Object.fromEntries(given.filter(isChanged)), act: 'policy' })
        }}
      >
        {settings.map(([name, label, hint]) => (
          <Field
            key={name}
            label={label}
            name={name}
            required
            pattern="\d{1,12}[smhd]?"
            title="Like 300s, 15m, 12h or 30d"
            defaultValue={query.value.get(name) ?? formatDuration(policy[name])}
            hint={hint}
          />
        ))}
        <div class="acts">
          <button class="second">See what it does</button>
        </div>
      </form>
    </Section>
  )
}

function wantedSettings(policy: KeyPolicy): Settings {
  const given = settings.map(([name]) => [name, parseDuration(query.value.get(name) ?? '')] as const)
  return Object.fromEntries(given.filter(([name, value]) => value !== undefined && value !== policy[name]))
}

function Change({
  of: { value: policy, etag },
  again,
}: {
  readonly of: Read<KeyPolicy>
  readonly again: () => void
}) {
  const body = wantedSettings(policy)
  const params = { header: { 'if-match': etag } }
  return (
    <Act
      act="policy"
      title="Change the key policy"
      does="Change it for all servers"
      onDone={() => {
        setQuery(nothing, { replace: true })
        again()
      }}
      run={async () => {
        await documentOf(api.PATCH(path, { params, body }))
        return 'The policy was changed. Running servers follow within a second.'
      }}
    >
      <Plan policy={policy} body={body} />
    </Act>
  )
}

function Plan({ policy, body }: { readonly policy: KeyPolicy; readonly body: Settings }) {
  const { value: plan, problem } = useAnswer(
    signal => documentOf(api.PATCH(path, { params: { query: { dry_run: true } }, body, signal })),
    [JSON.stringify(body)],
  )
  if (problem) return <ProblemNote problem={problem} />
  if (!plan) return <p class="quiet waiting">Working out what it does…</p>
  const times = plan.rotations.map(({ kid, alg, retires_at: after }) => {
    const before = policy.rotations.find(rotation => rotation.kid === kid)?.retires_at ?? null
    return (
      <li key={kid}>
        The next {alg} key signs <Time at={after} />
        {before !== after && (
          <>
            {' '}
            instead of <Time at={before} />
          </>
        )}
        .
      </li>
    )
  })
  const changes = [...settings, ['lead_seconds', 'A key is published before it signs for'] as const]
    .filter(([name]) => plan[name] !== policy[name])
    .map(([name, label]) => (
      <li key={name}>
        {label} <strong>{durationText(plan[name])}</strong> instead of {durationText(policy[name])}.
      </li>
    ))
  return (
    <>
      {changes.length === 0 ? <p>Nothing changes: this is the policy that there is.</p> : null}
      <ul>
        {changes}
        {times}
      </ul>
      <p>Nobody is logged out, and no token is refused for it.</p>
      {[plan.warning, plan.note].map(text => text !== null && <Note key={text} text={text} />)}
    </>
  )
}
