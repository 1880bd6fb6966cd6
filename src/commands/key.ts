import type { Command } from '@commander-js/extra-typings'
import type { InstallationTable, SigningKeyTable } from '../../db/database.ts'
import { listSigningKeys, requestRotation } from '../../db/signing-keys.ts'
import { algorithms } from '../keys/algorithms.ts'
import { phaseOf, rotationDue } from '../keys/key-life.ts'
import { leadSecondsOf } from '../keys/ring.ts'
import { makeRootKeyFile, readRootKeys } from '../keys/root-key.ts'
import { command, verb, type Terminal } from './command.ts'
import { CommandError } from './failures.ts'
import { facts, formatTime, type Row } from './output.ts'

/** `mintmark key`: the keys that sign tokens, and the root key that everything secret is encrypted under. */
export function keyCommands(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('signing keys, and the root key')

  verb(key, 'list', 'show the signing keys and what becomes of them', ['mintmark key list']).action(
    command(terminal, async ({ open }) => {
      const { db, record } = await open()
      return {
        columns: ['KID', 'ALG', 'STATE', 'PUBLISHED', 'SIGNS FROM', 'THEN'],
        rows: (await listSigningKeys(db)).map((row, _i, rows) => rowOf(row, rows, record)),
        none: 'There is no signing key yet: `mintmark serve` makes the first ones.',
      }
    }),
  )

  verb(key, 'rotate', 'let the next signing key sign, as soon as every verifier can know it', [
    'mintmark key rotate',
    'mintmark key rotate --alg ES256',
  ])
    .option('--alg <alg>', `of this algorithm only: ${[...algorithms.keys()].join(', ')}`)
    .action(
      command(terminal, async ({ open, now }, { alg }) => {
        const { db, record } = await open()
        const rows = await listSigningKeys(db)
        const active = rows.filter(row => phaseOf(row) === 'active' && (alg === undefined || row.alg === alg))
        if (active.length === 0) {
          throw new CommandError(
            alg === undefined
              ? 'there is no signing key to rotate: `mintmark serve` makes the first ones'
              : `there is no key that signs ${alg}: \`mintmark key list\` shows the keys`,
          )
        }
        const rotations = []
        for (const row of active) {
          if (!(await requestRotation(db, row.kid, now()))) continue
          const next = rows.find(other => other.alg === row.alg && phaseOf(other) === 'next')
          const effectiveAt = Math.max(now(), (next?.published_at ?? now()) + leadSecondsOf(record))
          rotations.push({ alg: row.alg, from: row.kid, to: next?.kid ?? null, effective_at: effectiveAt })
        }
        return {
          text: rotations.map(rotation => describeRotation(rotation, now())).join('\n'),
          json: rotations,
        }
      }),
    )

  verb(key, 'new-root', 'make a root key for a new installation', ['mintmark key new-root']).action(
    command(terminal, async ({ config }) => {
      const settings = config()
      const { rootKeyFile } = settings
      if (!makeRootKeyFile(rootKeyFile)) {
        throw new CommandError(`there is a root key at ${rootKeyFile} already, and it is never overwritten`)
      }
      const { currentId } = readRootKeys(settings)
      return {
        text: `Made a root key. Keep a copy of it apart from the database's backups:\n${facts({ file: rootKeyFile, id: currentId })}`,
        json: { file: rootKeyFile, id: currentId },
      }
    }),
  )
}

function rowOf(row: SigningKeyTable, rows: readonly SigningKeyTable[], record: InstallationTable): Row {
  const state = phaseOf(row)
  return {
    cells: [
      row.kid,
      row.alg,
      state,
      formatTime(row.published_at),
      formatTime(row.activated_at),
      whatFollows(row, rows, record),
    ],
    json: {
      kid: row.kid,
      alg: row.alg,
      state,
      published_at: row.published_at,
      activated_at: row.activated_at,
      retired_at: row.retired_at,
      verify_until: row.verify_until,
      revoked_at: row.revoked_at,
    },
  }
}

/** The next step in a key's life, with its time. */
function whatFollows(
  row: SigningKeyTable,
  rows: readonly SigningKeyTable[],
  record: InstallationTable,
): string {
  const policy = { rotationSeconds: record.key_rotation_seconds }
  switch (phaseOf(row)) {
    case 'next': {
      const active = rows.find(other => other.alg === row.alg && phaseOf(other) === 'active')
      const published = row.published_at + leadSecondsOf(record)
      return `signs ${formatTime(Math.max(published, active ? rotationDue(active, policy) : 0))}`
    }
    case 'active':
      return `retires ${formatTime(rotationDue(row, policy))}`
    case 'retiring':
    case 'revoked':
      return `is forgotten ${formatTime(row.verify_until)}`
  }
}

function describeRotation(
  { alg, to, effective_at }: { alg: string; to: string | null; effective_at: number },
  now: number,
): string {
  const when =
    effective_at <= now
      ? 'within a second'
      : `at ${formatTime(effective_at)}, when every verifier can know it`
  return `The next ${alg} key${to === null ? '' : ` ${to}`} signs ${when}, if a server runs then.`
}
