import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { replaceDatabase } from '../../db/backups/replace.ts'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import { describeError } from '../../src/commands/shell/failures.ts'
import { addRootKey, makeRootKeyFile, readRootKeyFile } from '../../src/keys/root/root-key-file.ts'
import { builtProgram } from '../helpers/built-program.ts'
import { commandLine, issuer, type CommandLine } from '../helpers/cli.ts'

const nobody = 65_534
const isRoot = process.geteuid?.() === 0

/** All that there is, with its owner. */
function ownersIn(folder: string): [path: string, uid: number, gid: number][] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(path => {
    const { uid, gid } = lstatSync(join(folder, path))
    return [path, uid, gid]
  })
}

async function must(t: Test, { call }: CommandLine, args: string, input = '') {
  const outcome = await call(args, { input })
  t.equal(outcome.code, 0, `mintmark ${args}\n${outcome.stderr}`)
  return outcome
}

t.test(
  "what root does to another user's installation leaves its files to that user",
  { skip: isRoot ? false : 'nobody but root can give files away' },
  async t => {
    const cli = commandLine(t)
    const { home } = cli
    chownSync(home, nobody, nobody)
    const rootKey = join(home, 'keys/root.key')
    const file = join(home, 'db/mintmark.sqlite')
    const backup = join(home, 'backup.sqlite')
    await must(t, cli, 'db migrate')
    chmodSync(rootKey, 0o400)
    chmodSync(file, 0o660)
    // While it is open, the log and the index are there too.
    const open = openDatabase({ engine: 'sqlite', file })
    await open.sql.selectFrom('installation').selectAll().execute()
    for (const [args, input] of [
      ['user create ada --password-stdin', 'correct horse'],
      [`client create --id web --grant password --secret-file ${join(home, 'web.secret')}`],
      ['key rotate-root'],
      ['key revoke --all --yes'],
      [`db backup ${backup}`],
      ['audit list'],
    ] as const) {
      await must(t, cli, args, input)
      const others = ownersIn(home).filter(([, uid, gid]) => uid !== nobody || gid !== nobody)
      t.strictSame(others, [], args)
    }
    t.ok(existsSync(`${file}-wal`) && existsSync(`${file}-shm`), 'those of SQLite were looked at')
    await open.close()
    await must(t, cli, `db restore ${backup} --accept-unrevoked`)
    t.strictSame(
      ownersIn(home).filter(([, uid, gid]) => uid !== nobody || gid !== nobody),
      [],
      'and after a restore',
    )
    t.equal(statSync(rootKey).mode & 0o777, 0o400, 'the mode of the root key is kept')
    t.equal(statSync(file).mode & 0o777, 0o660, 'and that of the database')

    rmSync(join(home, 'keys'), { recursive: true })
    await must(t, cli, 'key new-root')
    t.strictSame(lstatSync(join(home, 'keys')).uid, nobody, 'also of a folder')
    t.strictSame(lstatSync(rootKey).uid, nobody)
    chownSync(rootKey, 65_533, 65_532)
    addRootKey(rootKey)
    const { uid, gid } = lstatSync(rootKey)
    t.strictSame([uid, gid], [65_533, 65_532], 'what is replaced keeps its own')
  },
)

for (const [kind, link, code] of [
  ['a symbolic link', symlinkSync, 'ELOOP'],
  ['a hard link', linkSync, 'EPERM'],
] as const) {
  t.test(
    `whoever has the folder gets nothing of root's, who restores there: ${kind} in the place of the copy`,
    { skip: isRoot ? false : 'nobody but root can give files away' },
    async t => {
      const folder = t.testdir({ victim: 'of root alone', home: {} })
      const [victim, file] = [join(folder, 'victim'), join(folder, 'home/db.sqlite')]
      chmodSync(victim, 0o600)
      const open = openDatabase({ engine: 'sqlite', file })
      await sql`create table some (row integer)`.execute(open.sql)
      await open.close()
      chownSync(file, nobody, nobody)
      link(victim, `${file}.restoring`)
      t.throws(() => replaceDatabase(file, `${file}.restoring`, `${file}.kept`), { code })
      const { uid, mode } = statSync(victim)
      t.strictSame([uid, mode & 0o777], [0, 0o600])
    },
  )
}

/** As a file system says it that has none: SMB, exFAT, some of FUSE. */
function withoutHardLinks(t: Test, code: string): void {
  const { linkSync } = fs
  fs.linkSync = () => {
    throw Object.assign(new Error(`${code}: link`), { code })
  }
  syncBuiltinESMExports()
  t.teardown(() => {
    fs.linkSync = linkSync
    syncBuiltinESMExports()
  })
}

for (const code of ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']) {
  t.test(`a file system without hard links is enough (${code})`, async t => {
    withoutHardLinks(t, code)
    const cli = commandLine(t)
    const { home } = cli
    const rootKey = join(home, 'keys/root.key')
    const backup = join(home, 'backup.sqlite')
    await must(t, cli, 'db migrate')
    const first = readFileSync(rootKey, 'utf8')
    t.equal(makeRootKeyFile(rootKey), false, 'what is there is never replaced')
    t.equal(readFileSync(rootKey, 'utf8'), first)
    t.equal(statSync(rootKey).mode & 0o777, 0o600)
    await must(t, cli, 'key rotate-root')
    await must(t, cli, `db backup ${backup}`)
    const bytes = readFileSync(backup)
    t.match(await cli.call(`db backup ${backup}`), { code: 1, stderr: /exists already/ })
    t.ok(readFileSync(backup).equals(bytes), 'nor is a backup')
    await must(t, cli, 'user create ada --password-stdin', 'correct horse')
    const { kept } = (await must(t, cli, `db restore ${backup} --accept-unrevoked --json`)).json()
    const before = openDatabase({ engine: 'sqlite', file: kept })
    t.teardown(() => before.close())
    t.match(await before.sql.selectFrom('users').select('username').execute(), [{ username: 'ada' }])
    t.match((await must(t, cli, 'user list --json')).json(), [], 'the backup is in its place')
    t.strictSame(readdirSync(join(home, 'keys')), ['root.key'])
    t.strictSame(
      readdirSync(join(home, 'db')).filter(name => /restoring|partial/.test(name)),
      [],
    )
  })
}

t.test('of processes that start at once without hard links, one makes the root key', async t => {
  const cli = commandLine(t)
  // The first one takes its time.
  const code =
    'import fs from "node:fs";import{syncBuiltinESMExports}from"node:module";const{renameSync}=fs;' +
    'fs.linkSync=()=>{throw Object.assign(new Error("link"),{code:"EPERM"})};' +
    'fs.renameSync=(...a)=>{Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,400);renameSync(...a)};' +
    'syncBuiltinESMExports()'
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
  const outcomes = await Promise.all(Array.from({ length: 4 }, () => cli.run('db migrate', { env })))
  t.strictSame(
    outcomes.map(({ code, stderr }) => [code, stderr]),
    outcomes.map(() => [0, '']),
  )
  const rootKeyFile = join(cli.home, 'keys/root.key')
  t.equal(readRootKeyFile({ rootKeyFile, rootKeyIsMounted: false }).size, 1)
})

/** The database refuses to get another root key, at the last moment. */
const stopped = (db: Database) =>
  sql`create trigger stopped after update of root_key_id on installation
    begin select raise(abort, 'stopped'); end`.execute(db.sql)

t.test('a command that fails has not changed the root key file either', async t => {
  const others = { MINTMARK_ISSUER: 'https://copy.example' }
  const cases: [title: string, args: string, more?: { isLost?: boolean; env?: Record<string, string> }][] = [
    ['a rotation', 'key rotate-root'],
    ['the end of everything', 'key revoke --all --yes'],
    ['the end of everything, with the root key lost', 'key revoke --all --yes', { isLost: true }],
    ['a copy', 'db adopt --copied --yes', { env: others }],
    ['a copy without a root key', 'db adopt --copied --yes', { env: others, isLost: true }],
    ['a copy that nobody has agreed to', 'db adopt --copied', { env: others, isLost: true }],
  ]
  for (const [title, args, { isLost = false, env = {} } = {}] of cases) {
    await t.test(title, async t => {
      const { home, call } = commandLine(t)
      await call('db migrate')
      const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
      await stopped(db)
      const file = join(home, 'keys/root.key')
      const before = readFileSync(file, 'utf8')
      if (isLost) rmSync(file)
      t.match(await call(args, { env }), { code: /[12]/, stderr: /stopped|add --yes/ })
      if (isLost) t.strictSame(readdirSync(join(home, 'keys')), [], 'there is none')
      else t.equal(readFileSync(file, 'utf8'), before, 'it is as it was')

      await sql`drop trigger stopped`.execute(db.sql)
      await db.close()
      t.equal((await call(args, { env })).code, args.endsWith('--copied') ? 2 : 0, 'and it can be done again')
    })
  }
})

t.test('a backup of which the audit trail cannot be told is there, and the command says so', async t => {
  const cli = commandLine(t)
  await must(t, cli, 'db migrate')
  const db = openDatabase({ engine: 'sqlite', file: join(cli.home, 'db/mintmark.sqlite') })
  t.teardown(() => db.close())
  await sql`create trigger stopped before insert on audit begin select raise(abort, 'stopped'); end`.execute(
    db.sql,
  )
  const backup = join(cli.home, 'backup.sqlite')
  t.match(await cli.call(`db backup ${backup}`), {
    code: 1,
    stderr: /backup\.sqlite is complete and may be used, but the audit trail does not tell of it: .*stopped/,
  })
  const copy = openDatabase({ engine: 'sqlite', file: backup })
  t.teardown(() => copy.close())
  t.match(await copy.sql.selectFrom('installation').select('backed_up_at').execute(), [
    { backed_up_at: Number },
  ])
})

t.test('what was killed while it wrote a file leaves nothing behind the next one', async t => {
  const { home, call } = commandLine(t)
  t.match(await call('db migrate'), { code: 0 })
  const ended = spawnSync(process.execPath, ['-e', '']).pid
  const longAgo = new Date(Date.now() - 2 * 86_400_000)
  for (const [folder, file, command] of [
    [home, 'backup.sqlite', `db backup ${join(home, 'next.sqlite')}`],
    [join(home, 'keys'), 'root.key', 'key rotate-root'],
  ] as const) {
    const put = (owner: string, beside = '') => {
      const name = `${file}.${owner}-0123456789ab.partial${beside}`
      writeFileSync(join(folder, name), 'half')
      return name
    }
    const left = [
      put(`${hostname()}-${ended}`),
      put(`${hostname()}-${ended}`, '-journal'),
      put('elsewhere-1'),
    ]
    utimesSync(join(folder, left[2] ?? ''), longAgo, longAgo)
    const kept = [
      put(`${hostname()}-${process.pid}`),
      put(`elsewhere-${ended}`),
      put(`my${hostname()}-${ended}`),
    ]
    const own = `${file}.partial`
    writeFileSync(join(folder, own), 'of somebody else')
    t.match(await call(command), { code: 0 }, command)
    const names = readdirSync(folder)
    t.strictSame(
      left.filter(name => names.includes(name)),
      [],
      'what nobody works on any more is gone',
    )
    t.strictSame(
      names.filter(name => name.includes('partial')).sort(),
      [...kept, own].sort(),
      'and what somebody may work on, or has nothing to do with it, stays',
    )
  }
})

t.test('a disk that is full leaves no half of a file', async t => {
  const { home, call } = commandLine(t)
  t.match(await call('db migrate'), { code: 0 })
  const names = () =>
    readdirSync(home, { recursive: true, encoding: 'utf8' }).filter(name => !/sqlite-(wal|shm)$/.test(name))
  const before = names().sort()
  const { fsyncSync } = fs
  fs.fsyncSync = () => {
    throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  }
  syncBuiltinESMExports()
  try {
    for (const args of [
      'key rotate-root',
      `client create --id a --grant client_credentials --secret-file ${join(home, 'a.secret')}`,
      `client create --id a --grant client_credentials --new-key ${join(home, 'a.jwk')}`,
    ]) {
      t.match(await call(args), { code: 1, stderr: /the disk is full/ }, args)
      t.strictSame(names().sort(), before, args)
    }
  } finally {
    fs.fsyncSync = fsyncSync
    syncBuiltinESMExports()
  }
  // SQLite writes by itself: no file may grow beyond 64 kB, as if there were no more room.
  const backup = `ulimit -f 128; exec "$0" ${builtProgram()} db backup ${join(home, 'backup.sqlite')}`
  const full = spawnSync('sh', ['-c', backup, process.execPath], {
    env: { MINTMARK_HOME: home, MINTMARK_ISSUER: issuer },
    encoding: 'utf8',
  })
  // A Node.js that a signal ends on its way out has said it and failed, too.
  t.match(full, { stderr: /mintmark db backup: / })
  t.not(full.status, 0, `${full.status ?? full.signal}`)
  t.strictSame(names().sort(), before)
  t.match(await call(`db backup ${join(home, 'backup.sqlite')}`), { code: 0 }, 'and with room it is made')
})

t.test('a first start that is refused for its root key has made nothing', async t => {
  const { home, call } = commandLine(t)
  mkdirSync(join(home, 'keys'))
  writeFileSync(join(home, 'keys/root.key'), 'hunter2', { mode: 0o600 })
  t.match(await call('db migrate'), { code: 1, stderr: /line 1 of .* is not a root key/ })
  t.strictSame(readdirSync(home), ['keys'])
})

t.test('what the file system cannot do for SQLite is said in words', async t => {
  for (const code of ['SQLITE_IOERR_SHMOPEN', 'SQLITE_IOERR_SHMMAP', 'SQLITE_IOERR_LOCK']) {
    const error = Object.assign(new Error('disk I/O error'), { code })
    t.match(describeError(error), /share memory and locks, .*: put the database on a local disk$/, code)
  }
})
