import { api, documentOf, type User } from '../api/api.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { itemsIn, textOf } from '../parts/form-data.ts'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Search } from '../parts/search.tsx'
import { go, href, query } from '../router.ts'

/** The people who log in. */
export function UsersView() {
  const search = query.value.get('search') ?? ''
  return (
    <Page
      title="Users"
      acts={
        maySeeAll.value && (
          <>
            <ActButton act="invite">Invite somebody</ActButton>
            <ActButton act="create">Add a user</ActButton>
            <a class="button" href={href('/imports')}>
              Import many
            </a>
          </>
        )
      }
    >
      <Search label="Find a user" hint="The beginning of a user name, or of a confirmed mail address" />
      <Pages<User>
        label="Users"
        by={search}
        read={(page, signal) =>
          documentOf(
            api.GET('/admin/v1/users', {
              params: { query: { ...(search && { search }), ...page } },
              signal,
            }),
          )
        }
        keyOf={user => user.sub}
        row={user => <UserRow user={user} />}
        empty={
          search ? (
            <p>
              There is no user whose name or mail address begins with <strong>{search}</strong>.
            </p>
          ) : (
            <NoUsers />
          )
        }
      />
      {maySeeAll.value && <Invite />}
      {maySeeAll.value && <Create />}
    </Page>
  )
}

function UserRow({ user: { sub, username, claims, roles, disabled_at } }: { readonly user: User }) {
  return (
    <>
      <a class="row" href={href(`/users/${sub}`)}>
        <bdi>{username}</bdi>
      </a>
      <span>
        {/* Each by itself: signs in a name that turn the direction end with it. */}
        {[claims['name'], claims['email']].filter(Boolean).map((text, i) => (
          <bdi key={i}>
            {i > 0 && ', '}
            {String(text)}
          </bdi>
        ))}
      </span>
      <span>
        {disabled_at !== null && <span class="tag bad">disabled</span>}{' '}
        {roles.map(role => (
          <span class="tag" key={role}>
            {role}
          </span>
        ))}
      </span>
    </>
  )
}

function NoUsers() {
  return (
    <>
      <p>
        There are no users yet. Invite somebody by mail, add a user with a password, or{' '}
        <a href={href('/imports')}>import those of another system</a>. On the host:
      </p>
      <pre>
        <code>mintmark user create NAME --password-stdin</code>
      </pre>
    </>
  )
}

function Invite() {
  return (
    <Act
      act="invite"
      title="Invite somebody"
      does="Send the invitation"
      run={async form => {
        const body = {
          username: textOf(form, 'username'),
          email: textOf(form, 'email'),
          roles: itemsIn(form, 'roles'),
        }
        const { user } = await documentOf(api.POST('/admin/v1/users/invitations', { body }))
        go(href(`/users/${user.sub}`), { replace: true })
        return `An invitation to ${user.username} is on its way to ${body.email}.`
      }}
    >
      <p>A mail with a link goes out, by which the new user sets a password.</p>
      <Field label="User name" name="username" required maxLength={255} />
      <Field label="Mail address" name="email" type="email" required maxLength={254} />
      <Field label="Roles" name="roles" hint="Separated by spaces; none unless told" />
    </Act>
  )
}

function Create() {
  return (
    <Act
      act="create"
      title="Add a user"
      does="Add"
      run={async form => {
        const [username, password] = [textOf(form, 'username'), textOf(form, 'password')]
        const body = { username, password, roles: itemsIn(form, 'roles') }
        const user = await documentOf(api.POST('/admin/v1/users', { body }))
        go(href(`/users/${user.sub}`), { replace: true })
        return `${user.username} was added.`
      }}
    >
      <Field label="User name" name="username" required maxLength={255} />
      <Field label="Password" name="password" type="password" required />
      <Field label="Roles" name="roles" hint="Separated by spaces; none unless told" />
    </Act>
  )
}
