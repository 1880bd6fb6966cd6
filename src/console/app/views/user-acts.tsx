import type { ComponentType } from 'preact'
import { api, documentOf, type Read, type User } from '../api/api.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Act } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { itemsIn, patternOf, textOf } from '../parts/form-data.ts'
import { WillEnd } from '../parts/will-end.tsx'
import { go, href } from '../router.ts'

interface UserActsProps {
  readonly of: Read<User>
  readonly again: () => void
}

/** All that can be done to a user: one dialog each, made to the state that is on the screen. */
export function UserActs({ of: { value: user, etag }, again }: UserActsProps) {
  const params = { path: { sub: user.sub }, header: { 'if-match': etag } }
  return (
    <>
      {(maySeeAll.value ? acts : [EndAll]).map(Dialog => (
        <Dialog key={Dialog.name} user={user} params={params} again={again} />
      ))}
    </>
  )
}

interface DialogProps {
  readonly user: User
  readonly params: { readonly path: { sub: string }; readonly header: { 'if-match': string } }
  readonly again: () => void
}

function Roles({ user: { username, roles }, params, again }: DialogProps) {
  return (
    <Act
      act="roles"
      title={`Change the roles of ${username}`}
      does="Change"
      onDone={again}
      run={async form => {
        const body = { roles: itemsIn(form, 'roles') }
        await documentOf(api.PATCH('/admin/v1/users/{sub}', { params, body }))
        return 'The roles were changed. They are in tokens from the next refresh on.'
      }}
    >
      <Field label="Roles" name="roles" lines={4} defaultValue={roles.join('\n')} hint="One on each line" />
    </Act>
  )
}

function AddToGroup({ user: { sub, username }, again }: DialogProps) {
  return (
    <Act
      act="group"
      title={`Add ${username} to a group`}
      does="Add"
      onDone={again}
      run={async form => {
        const name = textOf(form, 'group')
        const params = { path: { name } }
        await documentOf(api.POST('/admin/v1/groups/{name}/members', { params, body: { sub } }))
        return `${username} is in ${name}, and has its roles from the next token on.`
      }}
    >
      <p>
        The next tokens of {username} have the roles of the group. <a href={href('/groups')}>All groups</a>
      </p>
      <Field label="Group" name="group" required maxLength={255} />
    </Act>
  )
}

/** The claims that are most often wrong. */
const details = [
  ['name', 'Full name', 'text'],
  ['email', 'Mail address', 'email'],
  ['phone_number', 'Phone number', 'tel'],
  ['locale', 'Language', 'text'],
] as const

function Details({ user: { username, claims }, params, again }: DialogProps) {
  const known = (name: string) => String(claims[name] ?? '')
  return (
    <Act
      act="details"
      title={`Change the details of ${username}`}
      does="Change"
      onDone={again}
      run={async form => {
        const changed = details
          .map(([name]) => [name, textOf(form, name)] as const)
          .filter(([name, value]) => value !== known(name))
          .map(([name, value]) => [name, value === '' ? null : value] as const)
        const body = { claims: Object.fromEntries(changed) }
        await documentOf(api.PATCH('/admin/v1/users/{sub}', { params, body }))
        return 'The details were changed.'
      }}
    >
      {details.map(([name, label, type]) => (
        <Field key={name} label={label} name={name} type={type} defaultValue={known(name)} />
      ))}
      <p class="quiet">
        Other claims: <code>mintmark user update {username} --claim name=value</code>
      </p>
    </Act>
  )
}

function Rename({ user: { username }, params, again }: DialogProps) {
  return (
    <Act
      act="rename"
      title={`Rename ${username}`}
      does="Rename"
      onDone={again}
      run={async form => {
        const body = { username: textOf(form, 'username') }
        await documentOf(api.POST('/admin/v1/users/{sub}/rename', { params, body }))
        return `${username} logs in as ${body.username} from now on. Sessions go on.`
      }}
    >
      <Field label="User name" name="username" required maxLength={255} defaultValue={username} />
    </Act>
  )
}

function Password({ user: { sub, username }, params, again }: DialogProps) {
  return (
    <Act
      act="password"
      title={`Set a password for ${username}`}
      does="Set the password"
      isDanger
      onDone={again}
      run={async form => {
        const body = { password: textOf(form, 'password') }
        await documentOf(api.POST('/admin/v1/users/{sub}/password', { params, body }))
        return 'The password was set, and all sessions have ended.'
      }}
    >
      <WillEnd sub={sub} />
      <Field label="New password" name="password" type="password" required />
    </Act>
  )
}

function EndAll({ user: { sub, username }, again }: DialogProps) {
  return (
    <Act
      act="end"
      title={`End all sessions of ${username}`}
      does="End them"
      isDanger
      onDone={again}
      run={() => documentOf(api.POST('/admin/v1/users/{sub}/end-sessions', { params: { path: { sub } } }))}
    >
      <WillEnd sub={sub} />
      <p>Log-ins that are under way come to nothing too. {username} may log in again at once.</p>
    </Act>
  )
}

function Disable({ user: { sub, username }, params, again }: DialogProps) {
  return (
    <Act
      act="disable"
      title={`Disable ${username}`}
      does="Disable"
      isDanger
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/users/{sub}/disable', { params }))
        return `${username} is disabled, and all sessions have ended.`
      }}
    >
      <WillEnd sub={sub} />
      <p>{username} cannot log in again until somebody enables this user.</p>
    </Act>
  )
}

function Enable({ user: { username }, params, again }: DialogProps) {
  return (
    <Act
      act="enable"
      title={`Enable ${username}`}
      does="Enable"
      onDone={again}
      run={async () => {
        await documentOf(api.POST('/admin/v1/users/{sub}/enable', { params }))
        return `${username} may log in again.`
      }}
    >
      <p>{username} may log in again, with the same password. Sessions that have ended stay ended.</p>
    </Act>
  )
}

function Delete({ user: { sub, username }, params }: DialogProps) {
  return (
    <Act
      act="delete"
      title={`Delete ${username}`}
      does="Delete for good"
      isDanger
      run={async () => {
        await documentOf(api.DELETE('/admin/v1/users/{sub}', { params }))
        go(href('/users'), { replace: true })
        return `${username} was deleted.`
      }}
    >
      <WillEnd sub={sub} />
      <p>
        This cannot be undone: roles, factors and what apps have been allowed are gone. To only keep somebody
        out, disable the user.
      </p>
      <Field label={`Type ${username} to confirm`} name="name" required pattern={patternOf(username)} />
    </Act>
  )
}

const acts: readonly ComponentType<DialogProps>[] = [
  Roles,
  AddToGroup,
  Details,
  Rename,
  Password,
  EndAll,
  Disable,
  Enable,
  Delete,
]
