import t from 'tap'
import { insertUser } from '../db/users.ts'
import { loadConfig } from '../src/config.ts'
import { openInstallation } from '../src/installation.ts'
import { openPasswords } from '../src/log-ins/passwords.ts'
import { newUuid } from '../src/protocol/secrets.ts'
import { commandLine, issuer } from './cli.ts'

t.test(
  'an installation takes a new name: keys and passwords stay, and refresh tokens are made for the new one',
  async t => {
    const cli = commandLine(t)
    await cli.succeed('db migrate')
    const open = (name: string) =>
      openInstallation(
        loadConfig({ MINTMARK_HOME: cli.home, MINTMARK_ISSUER: name }, '/'),
        () => 1_900_000_000,
        { mayCreate: false },
      )
    const passwordsOf = ({ rootKeys }: Awaited<ReturnType<typeof open>>) =>
      openPasswords({ pepperOf: rootKeys.pepperOf, currentRootKeyId: () => rootKeys.currentId })

    const before = await open(issuer)
    const hash = await passwordsOf(before).hash('correct horse')
    const user = {
      id: newUuid(1),
      username: 'ada',
      ...hash,
      roles: '',
      epoch: 0,
      created_at: 1,
      disabled_at: null,
    }
    await insertUser(before.db, user)
    const { rootKeyId, sealed } = before.rootKeys.seal('signing-key', 'kid', Buffer.from('a key'))
    const macBefore = before.rootKeys.macKeyOf(rootKeyId)
    await before.db.close()

    const env = { MINTMARK_ISSUER: 'https://new.example' }
    const refused = await cli.call('client list', { env })
    t.equal(refused.code, 1)
    t.match(
      refused.stderr,
      /belongs to the issuer http:\/\/127\.0\.0\.1:1, but MINTMARK_ISSUER is https:\/\/new\.example/,
    )
    t.equal((await cli.call('db adopt', { env })).code, 2, 'what has happened must be said')
    t.equal((await cli.call('db adopt --moved', { env })).code, 2, 'and agreed to')
    t.equal((await cli.call('db adopt --moved --yes')).code, 1, 'the issuer must be another one')

    const adopted = await cli.succeed('db adopt --moved --yes --json', { env })
    t.strictSame(adopted.json(), { from: issuer, to: 'https://new.example' })
    t.equal((await cli.call('client list')).code, 1, 'the old name is refused')

    const after = await open('https://new.example')
    t.teardown(() => after.db.close())
    t.equal(after.rootKeys.open('signing-key', 'kid', rootKeyId, sealed)?.toString(), 'a key')
    t.equal(await passwordsOf(after).verify(user, 'correct horse'), true)
    t.notSame(after.rootKeys.macKeyOf(rootKeyId), macBefore, 'no refresh token of the old name is genuine')
  },
)
