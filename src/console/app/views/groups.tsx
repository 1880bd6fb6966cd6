import { api, documentOf, type Group } from '../api/api.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { Act, ActButton } from '../parts/act.tsx'
import { Field } from '../parts/field.tsx'
import { itemsIn, textOf } from '../parts/form-data.ts'
import { GroupLink } from '../parts/links.tsx'
import { Page } from '../parts/page.tsx'
import { Pages } from '../parts/pages.tsx'
import { Tags } from '../parts/tags.tsx'
import { Time } from '../parts/time.tsx'
import { go, href } from '../router.ts'

/** Users who have roles together. */
export function GroupsView() {
  return (
    <Page title="Groups" acts={maySeeAll.value && <ActButton act="create">Add a group</ActButton>}>
      <p class="quiet">
        Who is in a group has its roles, beside roles of one’s own: change them here for all of them at once.
      </p>
      <Pages<Group>
        label="Groups"
        by=""
        read={(page, signal) => documentOf(api.GET('/admin/v1/groups', { params: { query: page }, signal }))}
        keyOf={({ name }) => name}
        row={group => <GroupRow group={group} />}
        empty={
          <>
            <p>There are no groups yet. Add one for people who are to have the same roles. On the host:</p>
            <pre>
              <code>mintmark group create staff --role editor</code>
            </pre>
          </>
        }
      />
      {maySeeAll.value && <Create />}
    </Page>
  )
}

function GroupRow({ group: { name, roles, created_at } }: { readonly group: Group }) {
  return (
    <>
      <GroupLink name={name} isRow />
      <span>
        <Tags of={roles} none="no roles" />
      </span>
      <span class="quiet">
        Added <Time at={created_at} />
      </span>
    </>
  )
}

/** What roles may look like, for the forms that ask for some. */
export const rolesHint =
  'One on each line; editor@https://api.example is one for that API alone. mintmark:admin administers everything'

function Create() {
  return (
    <Act
      act="create"
      title="Add a group"
      does="Add"
      run={async form => {
        const body = { name: textOf(form, 'name'), roles: itemsIn(form, 'roles') }
        await documentOf(api.POST('/admin/v1/groups', { body }))
        go(href(`/groups/${encodeURIComponent(body.name)}`), { replace: true })
        return `The group ${body.name} was added. Put people into it now.`
      }}
    >
      <Field
        label="Name"
        name="name"
        required
        pattern="[^\s\x22\x5c]+"
        title="Without spaces, quotes and backslashes"
        hint="What the claim groups says, where an API wants it"
      />
      <Field label="Roles" name="roles" lines={3} hint={rolesHint} />
    </Act>
  )
}
