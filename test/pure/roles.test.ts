import fc from 'fast-check'
import t from 'tap'
import {
  groupsOf,
  isRole,
  readRole,
  rolesColumn,
  rolesFor,
  rolesOf,
  rolesWithGroups,
  without,
} from '../../src/protocol/roles.ts'
import { runsOf } from '../helpers/runs.ts'

const api = 'https://api.example'
const other = 'https://other.example'

t.test('a role is for all resources, or for the one behind the first @ that has the URI of one', async t => {
  const rows: [text: string, name: string, resource: string | undefined][] = [
    ['editor', 'editor', undefined],
    ['editor@https://api.example', 'editor', api],
    ['ada@example.com', 'ada@example.com', undefined],
    ['a@b@https://api.example', 'a@b', api],
    ['editor@https://me@api.example', 'editor', 'https://me@api.example'],
    ['editor@urn:example:api', 'editor', 'urn:example:api'],
    ['editor@', 'editor@', undefined],
    ['@https://api.example', '@https://api.example', undefined],
    ['editor@https://api.example#x', 'editor@https://api.example#x', undefined],
  ]
  for (const [text, name, resource] of rows) t.strictSame(readRole(text), { name, resource }, text)
})

t.test('what is no role', async t => {
  for (const text of ['', 'a b', 'a"b', 'a\\b', 'ä', 'x'.repeat(256), `${'x'.repeat(256)}@${api}`])
    t.notOk(isRole(text), text)
  t.notOk(isRole(`mintmark:admin@${api}`), 'a role at this server is for no resource')
  for (const text of ['mintmark:admin', 'x'.repeat(255), `${'x'.repeat(255)}@${api}`, 'a@b'])
    t.ok(isRole(text), text)
})

t.test('a column of an earlier version says what it said', async t => {
  const old = `editor ${'boss'}@${api} editor`
  t.strictSame(rolesFor(old, api), ['editor', `boss@${api}`, 'editor'])
  t.strictSame(rolesFor(old, other), ['editor', `boss@${api}`, 'editor'])
  t.strictSame(rolesFor(rolesColumn([`boss@${api}`]), other), [], 'and what is given today does not')
})

const name = fc.constantFrom('a', 'b', 'c', 'd@e')
const role = fc.record({ name, resource: fc.constantFrom(undefined, api, other) })
const written = ({ name, resource }: { name: string; resource?: string | undefined }) =>
  resource === undefined ? name : `${name}@${resource}`
const roles = fc.array(role, { maxLength: 6 }).map(all => [...new Set(all.map(written))])

t.test('what is written is read again, and a resource gets its own roles and those for all', async () => {
  fc.assert(
    fc.property(roles, fc.constantFrom(undefined, api, other), (all, resource) => {
      const column = rolesColumn(all)
      const expected = all
        .map(readRole)
        .filter(one => one.resource === undefined || one.resource === resource)
      return (
        JSON.stringify(rolesOf(column)) === JSON.stringify(all) &&
        JSON.stringify(rolesFor(column, resource)) ===
          JSON.stringify([...new Set(expected.map(one => one.name))])
      )
    }),
    { numRuns: runsOf(500) },
  )
})

t.test('of its groups a user has every role for a resource, and each once', async () => {
  const groups = fc.dictionary(fc.constantFrom('g', 'h', 'i'), roles)
  const memberships = fc.uniqueArray(fc.constantFrom('g', 'h', 'i', 'gone'))
  fc.assert(
    fc.property(roles, groups, memberships, fc.constantFrom(undefined, api), (own, all, names, resource) => {
      const known = new Map(Object.entries(all).map(([name, roles]) => [name, { roles: rolesColumn(roles) }]))
      const holder = { roles: rolesColumn(own), group_names: names.join(' ') }
      const found = rolesWithGroups(holder, known, resource)
      const every = [own, ...names.flatMap(name => (known.has(name) ? [all[name] ?? []] : []))].flat()
      const expected = new Set(rolesFor(rolesColumn(every), resource))
      const ofOwn = rolesFor(holder.roles, resource)
      return (
        JSON.stringify([...found].sort()) ===
          JSON.stringify([...ofOwn, ...[...expected].filter(r => !ofOwn.includes(r))].sort()) &&
        JSON.stringify(found.slice(0, ofOwn.length)) === JSON.stringify(ofOwn) &&
        groupsOf(holder, known).every(name => known.has(name)) &&
        !without(holder.group_names, 'g').split(' ').includes('g')
      )
    }),
    { numRuns: runsOf(500) },
  )
})
