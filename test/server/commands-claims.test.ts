import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { findUser } from '../../db/users/users.ts'
import { commandLine } from '../helpers/cli.ts'

const password = 'a long enough passphrase'

t.test('OpenID Core §5.1 users are given standard claims, each checked by its kind', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  const create = (name: string, ...claims: readonly string[]) =>
    call(['user', 'create', name, '--password-stdin', ...(claims.length > 0 ? ['--claim', ...claims] : [])], {
      input: password,
    })
  const claimsOf = async (name: string) => {
    const users: readonly any[] = (await call('user list --json')).json()
    return users.find(({ username }) => username === name)?.claims
  }

  t.test('at once', async t => {
    const made = await create('ada', 'name=Ada Lovelace', 'email=ada@example.com', 'address.country=UK')
    t.match(made, {
      code: 0,
      stdout: /name +Ada Lovelace\n +email +ada@example\.com\n +address +\{"country":"UK"\}/,
    })
    t.strictSame(await claimsOf('ada'), {
      name: 'Ada Lovelace',
      email: 'ada@example.com',
      address: { country: 'UK' },
    })
    t.match(await create('bob', 'birthdate=yesterday'), { code: 2, stderr: /birthdate takes a date/ })
    t.match(await create('bob', 'shoe_size=44'), { code: 2, stderr: /A claim is one of name, given_name/ })
    t.equal(await claimsOf('bob'), undefined, 'nobody was made')
    await create('bob')
    t.strictSame(await claimsOf('bob'), {})
  })

  t.test('and later: what is not given stays', async t => {
    const update = (...args: readonly string[]) => call(['user', 'update', 'ada', ...args])
    t.match(await update('--claim', 'email_verified=true', 'updated_at=86400'), {
      code: 0,
      stdout: /^Changed the user ada\n {2}email_verified: none -> true\n {2}updated_at: none -> 1970-01-02 /,
    })
    t.match(await update('--claim', 'email_verified=true'), { code: 0, stdout: /is so already/ })
    t.match(await update('--claim', 'email=ada@example.org', '--json').then(({ json }) => json()), {
      differences: {
        email: { from: 'ada@example.com', to: 'ada@example.org' },
        email_verified: { from: true, to: null },
      },
    })
    await update('--claim', 'nickname=A', '--no-claim', 'name', 'address.country')
    t.strictSame(await claimsOf('ada'), { nickname: 'A', email: 'ada@example.org', updated_at: 86_400 })
    await update('--no-claim', '--claim', 'name=Ada')
    t.strictSame(await claimsOf('ada'), { name: 'Ada' })
    t.match(await update('--no-claim', 'shoe_size'), { code: 2, stderr: /A claim is one of/ })
    await update('--role', 'editor')
    t.strictSame(await claimsOf('ada'), { name: 'Ada' })
    await update('--no-claim')
    t.strictSame(await claimsOf('ada'), {})
  })

  t.test('the audit trail names them, and does not keep what they said', async t => {
    await call(['user', 'update', 'bob', '--claim', 'email=bob@example.com', '--role', 'editor'])
    const trail = await call('audit list --user bob --event user_changed --json')
    t.strictSame(
      trail.json().map(({ detail }: any) => detail),
      [{ roles: { from: [], to: ['editor'] }, claims: ['email'] }],
    )
    t.notMatch((await call('audit list --user bob')).stdout, /bob@example\.com/)
    t.match((await call('audit list --event user_changed --user bob')).stdout, /claims: email/)
  })

  t.test('doctor finds claims that cannot be read', async t => {
    const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
    await db.sql.updateTable('users').set({ claims: '[' }).where('username', '=', 'bob').execute()
    t.equal((await findUser(db, 'bob'))?.claims, '[')
    await db.close()
    t.match((await call('doctor')).stdout, /claims cannot be what it is/)
  })
})
