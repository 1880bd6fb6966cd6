import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { adoptMoved, findStrandedPasskeys, issuersOf } from '../../admin/adoption.ts'
import { backUp, backupSource, databaseStatus, sizeOf, type DatabaseStatus } from '../../admin/database.ts'
import { decideNames, nameLateUsers, nothingToDecide, type NameDecisions } from '../../admin/user-names.ts'
import { describeDatabaseUrl } from '../../config/database-url.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatBytes, formatCount, formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { UsageError } from '../shell/failures.ts'
import { exactNames, renames } from '../shell/options.ts'
import { facts } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'
import { adoptAsCopy, passkeySentences } from './db-adopt-copy.ts'
import { copyCommand } from './db-copy.ts'
import { restoreCommand } from './db-restore.ts'
import { reviveCommand } from './db-revive.ts'

/** `mintmark db`: the database as a whole. */
export function dbCommands(program: Command, terminal: Terminal): void {
  const db = program.command('db').description('the database as a whole')

  verb(db, 'migrate', 'make the database, or bring its schema up to date', [
    'mintmark db migrate',
    'mintmark db migrate --rename-user Alice=alice.smith --rename-user Bob=bob.2',
    'mintmark db migrate --unverify-mail carol',
  ])
    .option(
      '--rename-user <old=new...>',
      'where users have names that are one name from this version on: give one another name',
      renames,
    )
    .option(
      '--unverify-mail <name...>',
      'where that name is a mail address: count that of this user as unverified',
      exactNames,
    )
    .action(
      command(terminal, (run, { renameUser = [], unverifyMail = [] }) =>
        migrate(run, { renames: renameUser, unverified: unverifyMail }),
      ),
    )

  verb(db, 'status', 'show what the database is, and whether it fits this program', [
    'mintmark db status',
  ]).action(command(terminal, run => status(run)))

  verb(db, 'adopt', 'take over a database under a new issuer', [
    'MINTMARK_ISSUER=https://new.example mintmark db adopt --moved',
    'MINTMARK_ISSUER=https://staging.example mintmark db adopt --copied',
  ])
    .option(
      '--moved',
      'it is the same installation, with a new name: users, clients and keys stay, refresh tokens end',
    )
    .option(
      '--copied',
      'it is a copy, beside the original: new root key, signing keys and client secrets; users and clients stay',
    )
    .option('--yes', 'do not ask')
    .action(
      command(terminal, async (run, { moved = false, copied = false, yes }) => {
        if (moved === copied) {
          throw new UsageError(
            'say what has happened: --moved for the same installation with a new name, --copied for a copy beside the original',
          )
        }
        return copied ? adoptAsCopy(run, yes) : adopt(run, yes)
      }),
    )

  copyCommand(db, terminal)

  restoreCommand(db, terminal)

  reviveCommand(db, terminal)

  verb(db, 'backup', 'copy the database as it is at this moment, while servers go on', [
    'mintmark db backup /backups/mintmark-$(date +%F).sqlite',
  ])
    .argument('<file>', 'a new file; nothing is overwritten')
    .action(
      command(terminal, async (run, path) => {
        const admin = await run.open()
        const { installation, config, clock } = admin
        const file = resolve(run.workingDirectory, path)
        const onProgress = progressOf(run, backupSource(admin))
        const { source, bytes } = await backUp(admin, file, onProgress)
        const { issuer, root_key_id } = installation
        return {
          text: [
            `Copied ${source} to ${file} (${formatBytes(bytes)}).`,
            `The root key is not in it, and without it the copy is of no use: keep ${config.rootKeyFile} in another place.`,
          ].join('\n'),
          json: { file, bytes, issuer, root_key_id, made_at: clock.now() },
        }
      }),
    )
}

async function migrate({ config, open, clock, actor }: Run, decisions: NameDecisions) {
  const { rootKeyFile, databaseUrl } = config()
  const hadRootKey = existsSync(rootKeyFile)
  const isDecided = decisions.renames.length + decisions.unverified.length > 0
  const admin = await open({
    mayCreate: true,
    ...(isDecided && { before: decideNames({ clock, actor }, decisions) }),
  })
  const { installation, migrated } = admin
  if (isDecided && migrated.length === 0) throw nothingToDecide()
  const named = migrated.length === 0 ? await nameLateUsers(admin) : 0
  const place = describeDatabaseUrl(databaseUrl)
  const lines = migrated.length === 0 ? [`The schema of ${place} is up to date.`] : [`Migrated ${place}:`]
  lines.push(...migrated.map(name => `  ${name}`))
  if (named > 0) {
    lines.push(`Noted the names of ${formatCount(named, 'user')} whom an older version has added meanwhile.`)
  }
  if (!hadRootKey) {
    lines.push(`Made the root key ${rootKeyFile}. Keep a copy in another place than the database's backups.`)
  }
  return {
    text: lines.join('\n'),
    json: {
      database: place,
      issuer: installation.issuer,
      migrated,
      users_named: named,
      root_key_made: hadRootKey ? null : rootKeyFile,
    },
  }
}

async function status({ config, clock }: Run) {
  const { place, engine, bytes, schema, applied, pending, record, counts } = await databaseStatus(config())
  return {
    text: facts({
      database: place,
      size: bytes === undefined ? undefined : formatBytes(bytes),
      schema: schemaSentence(schema, pending),
      issuer: record?.issuer,
      'made on': formatTime(record?.created_at ?? null),
      'moved away on': formatTime(record?.moved_at ?? null),
      'root key': record?.root_key_id,
      'keys rotate every': durationOf(record?.key_rotation_seconds),
      'JWKS max-age': durationOf(record?.jwks_max_age_seconds),
      'clock skew': durationOf(record?.clock_skew_seconds),
      holds:
        counts &&
        [
          formatCount(counts.users, 'user'),
          formatCount(counts.clients, 'client'),
          formatCount(counts.resources, 'resource'),
        ].join(', '),
    }),
    json: {
      database: place,
      engine,
      bytes,
      schema,
      applied,
      pending,
      ...record,
      ...counts,
      checked_at: clock.now(),
    },
  }
}

function schemaSentence(schema: DatabaseStatus['schema'], pending: readonly string[]): string {
  if (schema === 'too_new') return 'made by a newer Mintmark that this one cannot serve: upgrade this one'
  if (schema === 'current') return 'up to date'
  return `lacks ${pending.join(', ')}: \`mintmark db migrate\` brings it up to date`
}

function durationOf(seconds: number | null | undefined): string | undefined {
  return seconds === null || seconds === undefined ? undefined : formatDuration(seconds)
}

const bytesWorthProgress = 256 * 2 ** 20

/** Tells each tenth, where it takes long enough to wonder. */
function progressOf({ note }: Run, file: string): (copied: { readonly part: number }) => void {
  if (sizeOf(file) < bytesWorthProgress) return () => {}
  let told = 0
  return ({ part }) => {
    const tenth = Math.floor(part * 10)
    if (tenth > told) note(`copied ${tenth * 10} %`)
    told = tenth
  }
}

/** The same installation under a new name. Holders of tokens of the old one have to log in again. */
async function adopt(run: Run, yes: true | undefined) {
  const admin = await run.open({ mayCreate: false, isAdopted: true })
  const issuers = issuersOf(admin)
  const { from, to } = issuers
  run.note(`Stop all servers of ${from} first: they would go on under the old name.`)
  const passkeys = await findStrandedPasskeys(admin)
  for (const sentence of passkeySentences(passkeys, to)) run.note(sentence)
  await confirm(run, `Give the installation the issuer ${to}? Every user has to log in again.`, { yes })
  const { ended: sessions } = await showEnding(run, options => adoptMoved(admin, issuers, options))
  return {
    text:
      `The installation is ${to} from now on. Ended ${formatCount(sessions, 'session')}: refresh and access tokens of ${from} ` +
      'are of no use any more, whatever name it gets later. Tell the resource servers.',
    json: { from, to, sessions_revoked: sessions, passkeys_unusable: passkeys },
  }
}
