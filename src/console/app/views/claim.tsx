import { api, documentOf, readOf, type OwnClaim, type Read } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Facts } from '../parts/facts.tsx'
import { Check, Field } from '../parts/field.tsx'
import { patternOf, textOf } from '../parts/form-data.ts'
import { Page, Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { go, href } from '../router.ts'
import { ClaimFields, readClaim, sourceText } from './claim-form.tsx'

/** One claim of the installation's own. */
export function ClaimView({ name }: { readonly name: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/claims/{name}', { params: { path: { name } }, signal })),
    [name],
  )
  return (
    <Page
      title={name}
      above={<a href={href('/claims')}>Claims of your own</a>}
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
        {claim => (
          <>
            <Facts
              facts={[
                ['Kind', claim.value.kind],
                ['Value', sourceText(claim.value.source)],
                ['Added', <Time at={claim.value.created_at} />],
              ]}
            />
            <Section title="To have it in tokens">
              <p>
                Name it at the <a href={href('/resources')}>resource</a> whose access tokens are to have it,
                or at the <a href={href('/clients')}>client</a> for its ID tokens and /userinfo:{' '}
                <em>Change</em>, then <em>Claims</em>. On the host:
              </p>
              <pre>
                <code>mintmark resource update URI --claims {name}</code>
              </pre>
            </Section>
            <Change of={claim} again={read.again} />
            <Delete of={claim} />
          </>
        )}
      </Reading>
    </Page>
  )
}

interface ActsProps {
  readonly of: Read<OwnClaim>
}

const paramsOf = ({ value: { name }, etag }: Read<OwnClaim>) => ({
  path: { name },
  header: { 'if-match': etag },
})

function Change({ of, again }: ActsProps & { readonly again: () => void }) {
  const { name } = of.value
  return (
    <Act
      act="change"
      title={`Change the claim ${name}`}
      does="Change"
      onDone={again}
      run={async form => {
        const body = readClaim(form)
        await documentOf(api.PATCH('/admin/v1/claims/{name}', { params: paramsOf(of), body }))
        return 'The claim was changed. The next tokens have it so.'
      }}
    >
      <p>Every token that is made from now on says it so. Those that there are stay as they are.</p>
      <ClaimFields claim={of.value} />
    </Act>
  )
}

function Delete({ of }: ActsProps) {
  const { name } = of.value
  return (
    <Act
      act="delete"
      title={`Delete the claim ${name}`}
      does="Delete for good"
      isDanger
      run={async form => {
        const query = textOf(form, 'force') === 'true' ? { force: true } : {}
        await documentOf(api.DELETE('/admin/v1/claims/{name}', { params: { ...paramsOf(of), query } }))
        go(href('/claims'), { replace: true })
        return `The claim ${name} was deleted.`
      }}
    >
      <p>No token has it from now on. An API that relies on it refuses its callers then.</p>
      <Check
        label="Take it from the resources and clients that want it"
        name="force"
        hint="Otherwise it is not deleted as long as there are any; the refusal names them"
      />
      <Field label={`Type ${name} to confirm`} name="name" required pattern={patternOf(name)} />
    </Act>
  )
}
