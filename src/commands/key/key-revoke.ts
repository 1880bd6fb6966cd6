import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { listResources } from '../../../db/clients/resources.ts'
import { countUsersByRootKey } from '../../../db/keys/root-keys.ts'
import { readPlannedRing, type PlannedRing } from '../../admin/planned-ring.ts'
import { endAllWithKeys } from '../../endings/end.ts'
import { revokeKey, type KeyRevocation } from '../../keys/ring/emergency.ts'
import { phaseOf } from '../../keys/ring/key-life.ts'
import { algsWanted, largestMaxAgeOf } from '../../keys/ring/key-policy.ts'
import { followBoundSeconds } from '../../protocol/key-lead.ts'
import { formatDuration } from '../../values/duration.ts'
import { counted, formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { facts } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'

const more = `
With a kid (the beginning is enough): one key leaked. The next key signs at once, refresh tokens and sessions live on, and
what the key has signed is refused by introspection, and by whoever fetches the key set anew.

With --all: the host, a backup or the root key is lost. There is a new root key, there are new signing keys, and every
session ends. The root key that the database is under need not be there.`

/** `mintmark key revoke`: the emergency. */
export function revokeVerb(key: CommandUnknownOpts, terminal: Terminal): void {
  verb(key, 'revoke', 'end a key that has leaked, or all of them', [
    'mintmark key revoke 4fT9xQ2b --reason "in a public log"',
    'mintmark key revoke --all --reason "backup stolen"',
  ])
    .argument('[kid]', 'the key, or the beginning of its kid')
    .option('--all', 'every key, the root key, and all sessions')
    .option('--reason <text>', 'why, for `key list` and the log', 'not told')
    .option('--keep-root-key', 'with --all: the root key is known to be safe')
    .option('--yes', 'do not ask')
    .addHelpText('after', more)
    .action(
      command(terminal, async (run, kid, { all = false, keepRootKey = false, reason, yes }) => {
        if (all === (kid !== undefined)) throw new UsageError('say which key: its kid, or --all of them')
        if (keepRootKey && !all) throw new UsageError('--keep-root-key goes with --all')
        return kid === undefined
          ? restart(run, { keepsRootKey: keepRootKey, reason, yes })
          : revokeOne(run, kid, { reason, yes })
      }),
    )
}

interface Order {
  readonly reason: string
  readonly yes: true | undefined
}

async function revokeOne(run: Run, prefix: string, { reason, yes }: Order) {
  const admin = await run.open()
  const rings = await readPlannedRing(admin)
  const { kid, alg } = onlyKey(rings, prefix)
  await confirm(run, `Revoke the ${alg} key ${kid}?`, { yes })
  const revoked = await revokeKey({ by: admin, rootKeys: admin.rootKeys, reason }, kid)
  if (!revoked) throw new CommandError(`another process has just revoked ${kid}`)
  const { phase, tokens, successor } = revoked

  const maxAge = largestMaxAgeOf(rings.installation, run.clock.now())
  const forgottenAt = run.clock.now() + followBoundSeconds + maxAge
  const unknownUntil = successor ? whenKnown(rings, revoked, run.clock.now()) : null
  const told = [
    `Revoked the ${alg} key ${kid}, which was ${phase}.`,
    facts({
      'its living tokens':
        tokens === 0 ? 'none' : `at most ${tokens.toLocaleString('en-US')}, all refused from now on`,
      'signs from now on': successor?.kid,
      'forgotten by verifiers': `${formatTime(forgottenAt)}, ${ifHonest(maxAge)}`,
    }),
    keepers('it'),
    ...(unknownUntil === null
      ? []
      : [
          `The key that signs now was published only a while ago: until ${formatTime(unknownUntil)} a verifier may refuse its tokens.`,
        ]),
    'Sessions and refresh tokens live on: a refresh gets a token by the new key. Running servers follow within a second.',
  ]
  return {
    text: told.join('\n'),
    json: {
      kid,
      alg,
      state: phase,
      reason,
      live_tokens_at_most: tokens,
      successor: successor?.kid ?? null,
      forgotten_at: forgottenAt,
      successor_unknown_until: unknownUntil,
    },
  }
}

/** Nothing can be said of those that keep a key set for longer. */
function ifHonest(maxAge: number): string {
  return `if they keep a key set no longer than they may (${formatDuration(maxAge)})`
}

/** They take no notice of the max-age. */
const keepers = (what: string) =>
  `Libraries that keep keys for a time of their own may take longer to forget ${what}: see docs/verifying.md.`

/** Until when some verifier that keeps to the max-age may not know the successor; null when all do. */
function whenKnown(
  { rows, installation }: PlannedRing,
  { successor }: KeyRevocation,
  now: number,
): number | null {
  const witnessed = rows.find(row => row.kid === successor?.kid)?.witnessed_seconds ?? 0
  const needed = largestMaxAgeOf(installation, now) + followBoundSeconds
  return witnessed >= needed ? null : now + needed - witnessed
}

function onlyKey({ rows }: PlannedRing, prefix: string) {
  const living = rows.filter(row => phaseOf(row) !== 'revoked')
  const found = living.filter(row => row.kid.startsWith(prefix))
  const [only] = found
  if (only && found.length === 1) return only
  if (found.length > 1) throw new CommandError(`${found.length} keys begin like that: give more of the kid`)
  const isRevoked = rows.some(row => row.kid.startsWith(prefix))
  throw new CommandError(
    isRevoked
      ? 'that key was revoked before: `mintmark key list` shows when it is forgotten'
      : 'there is no such key: `mintmark key list` shows all. One that is gone verifies nothing any more',
  )
}

async function restart(run: Run, { keepsRootKey, reason, yes }: Order & { readonly keepsRootKey: boolean }) {
  await confirm(
    run,
    `Revoke every signing key${keepsRootKey ? '' : ' and the root key'}, and end all sessions? Everybody has to sign in again.`,
    { yes },
  )
  const admin = await run.open({ mayCreate: false, isRootKeyLost: !keepsRootKey })
  const { db, rootKeys, config, record } = admin
  const algs = algsWanted(await listResources(db))
  const order = { by: admin, rootKeys, file: config, reason, keepsRootKey, algs }
  const done = await showEnding(run, options => endAllWithKeys(order, options))
  const { at } = done
  const sessions = done.ended

  const maxAge = largestMaxAgeOf(record, at)
  const failUntil = at + followBoundSeconds + maxAge
  const users = [...(await countUsersByRootKey(db))].filter(([id]) => id !== done.to)
  const count = (isWanted: (id: string) => boolean) =>
    users.filter(([id]) => isWanted(id)).reduce((sum, [, number]) => sum + number, 0)
  const lostPasswords = count(id => !rootKeys.has(id))
  const oldPasswords = keepsRootKey ? 0 : count(id => rootKeys.has(id))
  const told = [
    `Revoked ${counted(done.revoked.length, 'signing key')}, and ended ${counted(sessions, 'session')}.`,
    facts({
      'living tokens': `at most ${done.tokens.toLocaleString('en-US')}, all refused from now on`,
      'root key': keepsRootKey ? `${done.to}, as before` : `${done.to}, instead of ${done.from}`,
      'verifiers may fail': `until ${formatTime(failUntil)}, ${ifHonest(maxAge)}`,
    }),
    keepers('the keys'),
    ...passwordAdvice({ oldPasswords, lostPasswords, file: config.rootKeyFile }),
  ]
  return {
    text: told.join('\n'),
    json: {
      revoked: done.revoked.map(({ kid }) => kid),
      keys: done.keys.map(({ kid }) => kid),
      reason,
      sessions_revoked: sessions,
      live_tokens_at_most: done.tokens,
      root_key: { from: done.from, to: done.to },
      verifiers_may_fail_until: failUntil,
      passwords_lost: lostPasswords,
      passwords_under_older_root_keys: oldPasswords,
    },
  }
}

interface PasswordState {
  /** How many are checked with a root key that is lost to others. */
  readonly oldPasswords: number
  /** How many cannot be checked any more. */
  readonly lostPasswords: number
  readonly file: string
}

/** What the older root keys still mean for passwords. */
function passwordAdvice({ oldPasswords, lostPasswords, file }: PasswordState): string[] {
  const lost =
    `The passwords of ${counted(lostPasswords, 'user')} cannot be checked: their root key is not in ${file}. Put it below ` +
    'the first line if there is a copy; otherwise `mintmark user passwd NAME` sets a new password.'
  const old =
    `The passwords of ${counted(oldPasswords, 'user')} are hashed under an older root key until they sign in, so it stays in ` +
    `${file}. Whoever has it and the database can guess them: have important ones changed with \`mintmark user passwd NAME\`.`
  return [...(lostPasswords > 0 ? [lost] : []), ...(oldPasswords > 0 ? [old] : [])]
}
