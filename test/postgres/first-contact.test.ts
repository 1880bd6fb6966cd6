import { chmodSync, chownSync, copyFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { parsePostgresUrl } from '../../db/engines/postgres-url.ts'
import { openDatabase } from '../../db/open-database.ts'
import { commandLine } from '../helpers/cli.ts'
import { startPostgres } from '../helpers/postgres.ts'
import { startProxy } from '../helpers/proxy.ts'

/** Its own: the tests here change who may come in, and how. */
const cluster = await startPostgres(t)

t.test('a URL says where, who and how; what is wrong with it is said without its password', async t => {
  const accepted: readonly (readonly [string, object])[] = [
    [
      'postgres://u:p@db/m',
      { user: 'u', password: 'p', database: 'm', tls: 'verify-full', applicationName: 'mintmark' },
    ],
    ['postgres://u@db/m', { password: undefined, hosts: [{ host: 'db', port: 5432 }] }],
    ['postgresql://u:p%40s%2F@127.0.0.1:6000/m', { password: 'p@s/', tls: 'disable' }],
    ['postgres://u:p@s@db/m', { password: 'p@s', hosts: [{ host: 'db', port: 5432 }] }],
    [
      'postgres://u@a:1,b:2,[::1]:3/m?target_session_attrs=read-write',
      {
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
          { host: '::1', port: 3 },
        ],
      },
    ],
    [
      'postgres:///m?host=/run/postgresql',
      { hosts: [{ host: '/run/postgresql', port: 5432 }], tls: 'disable' },
    ],
    ['postgres://localhost/m', { tls: 'disable' }],
    ['postgres://db/m?sslmode=require&connect_timeout=2', { tls: 'require', connectSeconds: 2 }],
    [
      'postgres://db/m?options=-c%20search_path%3Dauth&application_name=as-1',
      { options: '-c search_path=auth', applicationName: 'as-1' },
    ],
  ]
  for (const [url, part] of accepted) t.match(parsePostgresUrl(url), part, url)

  const refused: readonly (readonly [string, RegExp])[] = [
    ['postgres://u:hunter2@db', /names no database/],
    ['postgres://u:hunter2@db/', /names no database/],
    ['postgres://u:hunter2@db:70000/m', /names no host and port/],
    ['postgres://u:hunter2@db:x/m', /names no host and port/],
    ['postgres://u:hunter2/x@db/m', /names no host and port .* are written %40/],
    ['postgres://u:hunter2#x@db/m', /^takes postgres:/],
    ['postgres://u:hunter2%zz@db/m', /a % that is not followed/],
    ['postgres://u:hunter2@db/m?sslmod=require', /has the parameter "sslmod", but takes .*sslmode/],
    ['postgres://u:hunter2@db/m?sslmode=prefer', /sslmode that is none of disable, require/],
    ['postgres://u:hunter2@db/m?target_session_attrs=any', /takes read-write/],
    ['postgres://u:hunter2@db/m?connect_timeout=0', /1 to 60 seconds/],
  ]
  for (const [url, problem] of refused) {
    const parsed = parsePostgresUrl(url)
    t.match('problem' in parsed ? parsed.problem : 'accepted', problem, url)
    t.notMatch(JSON.stringify(parsed), /hunter2/)
  }
})

t.test('a server that cannot be used is one clear line and exit code 1', async t => {
  const { port } = cluster
  const name = await cluster.createDatabase()
  await cluster.query("create role locked login password 'right'")
  await cluster.query('create role guest login')
  await cluster.query('create role crowd login connection limit 0')
  await cluster.query(`create database closed`)
  await cluster.query('revoke connect on database closed from public')
  // PostgreSQL 14 lets everybody make tables there.
  await cluster.query('revoke create on schema public from public', name)
  await cluster.allow('host all locked 127.0.0.1/32 scram-sha-256', 'host all nobody 127.0.0.1/32 reject')
  const proxy = await startProxy(t, port)
  const [shown] = await cluster.query('show server_version_num')
  proxy.replace(String(shown?.['server_version_num']), '130022')

  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'a name that nobody has',
      'postgres://u@no-such-host.invalid/m?sslmode=disable',
      /cannot be found: there is no host of this name/,
    ],
    [
      'a port where nothing listens',
      'postgres://u@127.0.0.1:1/m',
      /PostgreSQL at 127\.0\.0\.1:1 does not answer: nothing listens/,
    ],
    [
      'a wrong password',
      `postgres://locked:hunter2@127.0.0.1:${port}/${name}`,
      /refuses the password of the user locked/,
    ],
    ['a user who is kept out', `postgres://nobody@127.0.0.1:${port}/${name}`, /refuses the user nobody/],
    [
      'a database that is not there',
      `postgres://postgres@127.0.0.1:${port}/nothing`,
      /has no database nothing: create it/,
    ],
    [
      'a database that is closed',
      `postgres://guest@127.0.0.1:${port}/closed`,
      /does not let the user guest into the database closed/,
    ],
    [
      'a user without rights',
      `postgres://guest@127.0.0.1:${port}/${name}`,
      /the database user may not do this: .*grant create/,
    ],
    [
      'no connection left',
      `postgres://crowd@127.0.0.1:${port}/${name}`,
      /has no connection left: .*MINTMARK_DATABASE_POOL_SIZE/,
    ],
    [
      'a server without TLS',
      `postgres://postgres@127.0.0.1:${port}/${name}?sslmode=require`,
      /offers no TLS/,
    ],
    [
      'an old server',
      `postgres://postgres@127.0.0.1:${proxy.port}/${name}`,
      /is version 13, which is too old: Mintmark needs 14 or newer/,
    ],
  ]
  const cli = commandLine(t)
  await cli.call('key new-root', { env: { MINTMARK_DATABASE_URL: cluster.url(name) } })
  const embedded = commandLine(t, join(cli.home, 'embedded'))
  await embedded.call('db migrate')
  for (const [title, url, message] of cases) {
    for (const { code, stderr, stdout } of [
      await cli.call('serve', { env: { MINTMARK_DATABASE_URL: url } }),
      await embedded.call(['db', 'copy', '--to', url, '--yes']),
    ]) {
      t.equal(code, 1, title)
      t.match(stderr, message, title)
      t.equal(stderr.trim().split('\n').length, 1, `${title}: one line`)
      t.equal(stdout, '')
      t.notMatch(stderr, /hunter2/)
    }
  }
  t.match((await embedded.call('db copy --cancel --json')).json(), { cancelled: false }, 'no copy was begun')
  t.match(
    await embedded.call(['db', 'copy', '--to', 'postgress://u:hunter2@db/m']),
    { code: 2, stderr: /^mintmark db copy: --to takes (?!.*hunter2)/ },
    'a scheme with a typo',
  )
  t.match(
    await embedded.call(['db', 'copy', '--to', `sqlite:${join(embedded.home, 'db/mintmark.sqlite')}`]),
    { code: 2, stderr: /this is the database that the settings name: name another one/ },
    'the same database',
  )
  t.match(
    await embedded.call(['db', 'copy', '--to', cluster.url(name), '--yes'], {
      env: { MINTMARK_ISSUER: 'https://other.example' },
    }),
    { code: 1, stderr: /belongs to the issuer .*, but MINTMARK_ISSUER is https:\/\/other\.example/ },
    'settings of another installation',
  )
  const process = await cli.run('serve', { env: { MINTMARK_DATABASE_URL: `postgres://x@127.0.0.1:1/m` } })
  t.match([process.code, process.stderr.split('\n').length], [1, 2], 'a process ends with it')

  const bare = commandLine(t, t.testdir({ elsewhere: {} }) + '/elsewhere')
  const { code, stderr } = await bare.call('serve', { env: { MINTMARK_DATABASE_URL: cluster.url(name) } })
  t.match(
    [code, stderr],
    [1, /there is no root key at .*: `mintmark key new-root` makes one\n$/],
    'no root key is invented',
  )

  await cluster.query(`alter database ${name} set default_transaction_read_only = on`)
  const readOnly = await cli.call('serve', { env: { MINTMARK_DATABASE_URL: cluster.url(name) } })
  t.match([readOnly.code, readOnly.stderr], [1, /is read-only: set default_transaction_read_only = off/])
})

t.test('the connection is encrypted and verified as the URL says', async t => {
  const files = join(import.meta.dirname, '../data/tls')
  const { uid, gid } = statSync(cluster.directory)
  for (const file of ['server.crt', 'server.key', 'ca.crt']) {
    const copy = join(cluster.directory, 'data', file)
    copyFileSync(join(files, file), copy)
    chmodSync(copy, 0o600)
    chownSync(copy, uid, gid)
  }
  await cluster.query('create role postgres_shown superuser login')
  writeFileSync(join(cluster.directory, 'data/pg_ident.conf'), 'shown postgres postgres_shown\n')
  await cluster.allow('hostssl all postgres_shown 127.0.0.1/32 cert map=shown')
  await cluster.query('alter system set ssl = on')
  await cluster.query("alter system set ssl_ca_file = 'ca.crt'")
  await cluster.query('select pg_reload_conf()')
  await sleep(200)

  const connect = async (host: string, parameters: string, user = 'postgres') => {
    const url = `postgres://${user}@${host}:${cluster.port}/postgres?${parameters}`
    const db = openDatabase({ engine: 'postgres', url })
    try {
      const { rows } = await sql<{
        ssl: boolean
      }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(db.sql)
      return rows[0]?.ssl ? 'encrypted' : 'plain'
    } catch (error) {
      return (error as Error).message
    } finally {
      await db.close()
    }
  }
  const ca = `sslrootcert=${join(files, 'ca.crt')}`
  const shown = `sslcert=${join(files, 'client.crt')}&sslkey=${join(files, 'client.key')}`
  t.equal(await connect('localhost', ''), 'plain', 'on this machine nobody listens in')
  t.equal(await connect('localhost', `sslmode=verify-full&${ca}`), 'encrypted')
  t.match(await connect('127.0.0.1', `sslmode=verify-full&${ca}`), /shows a certificate for another host/)
  t.equal(await connect('127.0.0.1', `sslmode=verify-ca&${ca}`), 'encrypted')
  t.match(
    await connect('localhost', `sslmode=verify-full&sslrootcert=${join(files, 'other-ca.crt')}`),
    /shows a certificate that is not trusted .*sslrootcert=FILE/,
  )
  t.match(await connect('localhost', 'sslmode=verify-full'), /shows a certificate that is not trusted/)
  t.equal(await connect('127.0.0.1', 'sslmode=require'), 'encrypted')
  t.equal(await connect('127.0.0.1', `sslmode=verify-ca&${ca}&${shown}`, 'postgres_shown'), 'encrypted')
  t.match(await connect('127.0.0.1', `sslmode=verify-ca&${ca}`, 'postgres_shown'), /certificate/)
  const nowhere = `postgres://localhost:${cluster.port}/postgres?sslmode=verify-full&sslrootcert=/nowhere.crt`
  t.throws(() => openDatabase({ engine: 'postgres', url: nowhere }), { code: 'ENOENT', path: '/nowhere.crt' })
})
