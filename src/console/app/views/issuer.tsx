import { api, documentOf, readOf, type Read, type TrustedIssuer } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Changes } from '../parts/changes.tsx'
import { Facts } from '../parts/facts.tsx'
import { Check, Field } from '../parts/field.tsx'
import { textOf } from '../parts/form-data.ts'
import { ClientLink } from '../parts/links.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { RowList } from '../parts/row-list.tsx'
import { Time } from '../parts/time.tsx'
import { counted, durationText } from '../parts/words.ts'
import { go, href, query } from '../router.ts'

/** One outside issuer, and whom it may name. */
export function IssuerView({ issuer }: { readonly issuer: string }) {
  const read = useAnswer(
    signal => readOf(api.GET('/admin/v1/issuers/{issuer}', { params: { path: { issuer } }, signal })),
    [issuer],
  )
  return (
    <Page
      title={issuer}
      above={<a href={href('/issuers')}>Trusted issuers</a>}
      acts={
        read.value && (
          <>
            <ActButton act="add">Add a subject</ActButton>
            <ActButton act="change">Change</ActButton>
            <ActButton act="delete" isDanger>
              Trust it no more
            </ActButton>
          </>
        )
      }
    >
      <Reading of={read}>
        {found => (
          <>
            <About issuer={found.value} />
            <Section title="Subjects">
              {found.value.subjects.length === 0 ? (
                <p class="quiet">It names no client yet.</p>
              ) : (
                <RowList
                  label="Subjects"
                  items={found.value.subjects}
                  keyOf={subject => JSON.stringify(subject)}
                  row={subject => (
                    <SubjectRow subject={subject} number={found.value.subjects.indexOf(subject)} />
                  )}
                />
              )}
            </Section>
            <Acts of={found} again={read.again} />
          </>
        )}
      </Reading>
    </Page>
  )
}

function About({ issuer: { audience, jwks, jwks_uri: uri, max_life, reusable, created_at } }: IssuerProps) {
  return (
    <Facts
      facts={[
        ['Its JWTs are for', audience ?? 'the issuer of this server'],
        ['Its keys', jwks ? 'are given here' : (uri ?? 'are where its metadata say')],
        ['Its JWTs live at most', durationText(max_life ?? 3600)],
        ['One JWT counts', reusable ? 'as often as it is sent' : 'once'],
        ['Trusted since', <Time at={created_at} />],
      ]}
    />
  )
}

interface IssuerProps {
  readonly issuer: TrustedIssuer
}

type Subject = TrustedIssuer['subjects'][number]

const subText = ({ subject, subject_pattern: pattern }: Subject) => subject ?? pattern ?? ''

function SubjectRow({ subject, number }: { readonly subject: Subject; readonly number: number }) {
  const { subject_pattern: pattern, client, user, claims = {} } = subject
  const conditions = Object.entries(claims).map(([name, value]) => `${name}=${value}`)
  return (
    <>
      <span class="row">
        <bdi>{subText(subject)}</bdi> {pattern != null && <span class="tag">pattern</span>}
      </span>
      <span>
        is <ClientLink id={client} />
        {user != null && (
          <>
            {' '}
            in the name of <a href={href(`/users/${user}`)}>{user}</a>
          </>
        )}
        {conditions.length > 0 && <>, where {conditions.join(', ')}</>}
      </span>
      <ActButton act={`remove-${number}`} isDanger>
        Take out
      </ActButton>
    </>
  )
}

interface ActsProps {
  readonly of: Read<TrustedIssuer>
  readonly again: () => void
}

function Acts({ of: { value, etag }, again }: ActsProps) {
  const { issuer, subjects } = value
  const params = { path: { issuer }, header: { 'if-match': etag } }
  const setSubjects = async (subjects: readonly Subject[]) =>
    documentOf(api.PATCH('/admin/v1/issuers/{issuer}', { params, body: { subjects: [...subjects] } }))
  const [, number = ''] = /^remove-(\d+)$/.exec(query.value.get('act') ?? '') ?? []
  const chosen = subjects[Number(number)]
  return (
    <>
      <AddSubject add={subject => setSubjects([...subjects, subject])} again={again} />
      {number !== '' && chosen && (
        <Act
          act={`remove-${number}`}
          title={`Take ${subText(chosen)} out`}
          does="Take it out"
          isDanger
          onDone={again}
          run={async () => {
            await setSubjects(subjects.filter(one => one !== chosen))
            return `${subText(chosen)} is nobody here any more.`
          }}
        >
          <p>
            Programs of this subject get no more tokens as {chosen.client}. Those that they have run out by
            themselves.
          </p>
        </Act>
      )}
      <Changes
        act="change"
        title={`Change ${issuer}`}
        does="Change"
        schema="TrustedIssuerChanges"
        without={['subjects']}
        values={value}
        onDone={again}
        run={async body => {
          const { warnings } = await documentOf(api.PATCH('/admin/v1/issuers/{issuer}', { params, body }))
          return ['The issuer was changed.', ...warnings].join(' ')
        }}
      />
      <Act
        act="delete"
        title={`Trust ${issuer} no more`}
        does="Trust it no more"
        isDanger
        run={async () => {
          await documentOf(api.DELETE('/admin/v1/issuers/{issuer}', { params }))
          go(href('/issuers'), { replace: true })
          return `${issuer} is not trusted any more.`
        }}
      >
        <p>
          This is about {counted(subjects.length, 'subject')}: programs that come with its JWTs get no more
          tokens. Those that they have run out by themselves.
        </p>
      </Act>
    </>
  )
}

interface AddSubjectProps {
  readonly add: (subject: Subject) => Promise<{ readonly warnings: readonly string[] }>
  readonly again: () => void
}

function AddSubject({ add, again }: AddSubjectProps) {
  return (
    <Act
      act="add"
      title="Add a subject"
      does="Add"
      onDone={again}
      run={async form => {
        const sub = textOf(form, 'sub')
        const user = textOf(form, 'user')
        const named = textOf(form, 'is_pattern') === 'true' ? { subject_pattern: sub } : { subject: sub }
        const conditions = textOf(form, 'claims').split('\n').filter(Boolean)
        const claims = Object.fromEntries(conditions.map(line => splitAt(line.trim(), '=')))
        const client = textOf(form, 'client')
        const { warnings } = await add({ ...named, client, claims, ...(user !== '' && { user }) })
        return [`${sub} is ${client} from now on.`, ...warnings].join(' ')
      }}
    >
      <Field label="Subject" name="sub" required maxLength={500} hint="The sub of its JWTs, as it is" />
      <Check
        label="It is a pattern"
        name="is_pattern"
        hint="A * stands for one part between : and /, a ** at the end for one or more"
      />
      <Field label="Client" name="client" required maxLength={128} hint="The id of the client that it is" />
      <Field
        label="Claims"
        name="claims"
        lines={2}
        hint="That must be so, one on each line, like repository_id=74"
      />
      <Field
        label="User"
        name="user"
        maxLength={36}
        hint="The sub of a user in whose name it acts; empty for none"
      />
    </Act>
  )
}

function splitAt(text: string, mark: string): readonly [string, string] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
