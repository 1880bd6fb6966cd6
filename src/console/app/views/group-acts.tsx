import { api, documentOf, type Group, type Read } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Act } from '../parts/act.tsx'
import { Check, Field } from '../parts/field.tsx'
import { itemsIn, patternOf, textOf } from '../parts/form-data.ts'
import { ProblemNote } from '../parts/problem-note.tsx'
import { findUser } from '../parts/find-user.ts'
import { counted } from '../parts/words.ts'
import { go, href, query } from '../router.ts'
import { rolesHint } from './groups.tsx'

interface GroupActsProps {
  readonly of: Read<Group>
  readonly again: () => void
  readonly membersAgain: () => void
}

/** All that can be done to a group, made to the state that is on the screen. */
export function GroupActs({ of, again, membersAgain }: GroupActsProps) {
  const { name } = of.value
  const [, sub] = /^remove-(.+)$/.exec(query.value.get('act') ?? '') ?? []
  return (
    <>
      <ChangeRoles of={of} again={again} />
      <Add name={name} again={membersAgain} />
      {sub !== undefined && <TakeOut key={sub} name={name} sub={sub} again={membersAgain} />}
      <Delete of={of} />
    </>
  )
}

const paramsOf = ({ value: { name }, etag }: Read<Group>) => ({
  path: { name },
  header: { 'if-match': etag },
})

function ChangeRoles({ of, again }: Pick<GroupActsProps, 'of' | 'again'>) {
  const { name, roles } = of.value
  return (
    <Act
      act="roles"
      title={`Change the roles of ${name}`}
      does="Change"
      onDone={again}
      run={async form => {
        const body = { roles: itemsIn(form, 'roles') }
        await documentOf(api.PATCH('/admin/v1/groups/{name}', { params: paramsOf(of), body }))
        return 'The roles were changed. Members have them in their next tokens.'
      }}
    >
      <Concerned name={name} />
      <p>Their next tokens have these roles, beside roles of their own. Sessions go on.</p>
      <Field label="Roles" name="roles" lines={4} defaultValue={roles.join('\n')} hint={rolesHint} />
    </Act>
  )
}

function Add({ name, again }: { readonly name: string; readonly again: () => void }) {
  return (
    <Act
      act="add"
      title={`Add a member to ${name}`}
      does="Add"
      onDone={again}
      run={async form => {
        const { sub, username } = await findUser(textOf(form, 'user'))
        const params = { path: { name } }
        await documentOf(api.POST('/admin/v1/groups/{name}/members', { params, body: { sub } }))
        return `${username} is in ${name}, and has its roles from the next token on.`
      }}
    >
      <Field label="User name" name="user" required maxLength={255} hint="The whole of it, or a sub" />
    </Act>
  )
}

interface TakeOutProps {
  readonly name: string
  readonly sub: string
  readonly again: () => void
}

function TakeOut({ name, sub, again }: TakeOutProps) {
  const { value } = useAnswer(
    signal => documentOf(api.GET('/admin/v1/users/{sub}', { params: { path: { sub } }, signal })),
    [sub],
  )
  const who = value?.username ?? 'this user'
  return (
    <Act
      act={`remove-${sub}`}
      title={`Take ${who} out of ${name}`}
      does="Take out"
      isDanger
      onDone={again}
      run={async () => {
        const params = { path: { name, sub } }
        await documentOf(api.DELETE('/admin/v1/groups/{name}/members/{sub}', { params }))
        return `${who} is not in ${name} any more.`
      }}
    >
      <p>
        The next tokens of {who} do not have the roles of this group. An access token that an app has already
        is as it was until it expires; sessions go on.
      </p>
    </Act>
  )
}

function Delete({ of }: Pick<GroupActsProps, 'of'>) {
  const { name } = of.value
  return (
    <Act
      act="delete"
      title={`Delete the group ${name}`}
      does="Delete for good"
      isDanger
      run={async form => {
        const query = textOf(form, 'force') === 'true' ? { force: true } : {}
        const params = { ...paramsOf(of), query }
        await documentOf(api.DELETE('/admin/v1/groups/{name}', { params }))
        go(href('/groups'), { replace: true })
        return `The group ${name} was deleted. The next tokens of its members say so.`
      }}
    >
      <Concerned name={name} />
      <p>Who was in it loses its roles with the next token. This cannot be undone.</p>
      <Check
        label="Take its members out of it"
        name="force"
        hint="Otherwise it is not deleted as long as it has any"
      />
      <Field label={`Type ${name} to confirm`} name="name" required pattern={patternOf(name)} />
    </Act>
  )
}

/** So many are counted one by one. */
const countedMax = 200

/** How many people have something by the group. */
function Concerned({ name }: { readonly name: string }) {
  const { value, problem } = useAnswer(
    signal => {
      const params = { path: { name }, query: { limit: countedMax } }
      return documentOf(api.GET('/admin/v1/groups/{name}/members', { params, signal }))
    },
    [name],
  )
  if (problem) return <ProblemNote problem={problem} />
  if (!value) return <p class="quiet">Counting its members…</p>
  const { items, next } = value
  return (
    <p class="ends">
      This is about{' '}
      <strong>
        {next !== null && 'at least '}
        {counted(items.length, 'member')}
      </strong>
      .
    </p>
  )
}
