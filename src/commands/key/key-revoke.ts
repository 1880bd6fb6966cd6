import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import {
  describeRestarted,
  describeRevokedKey,
  findKey,
  revokeAllKeys,
  revokeKey,
  type Restarted,
} from '../../admin/key-revocation.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { UsageError } from '../shell/failures.ts'
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
  const { kid, alg } = await findKey(admin, prefix)
  await confirm(run, `Revoke the ${alg} key ${kid}?`, { yes })
  const revoked = await revokeKey(admin, kid, reason)
  const { phase, tokens, successor, maxAge, forgottenAt, successorUnknownUntil: unknownUntil } = revoked
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
  return { text: told.join('\n'), json: describeRevokedKey(revoked) }
}

/** Nothing can be said of verifiers that keep a key set for longer. */
function ifHonest(maxAge: number): string {
  return `if they keep a key set no longer than they may (${formatDuration(maxAge)})`
}

/** They take no notice of the max-age. */
const keepers = (what: string) =>
  `Libraries that keep keys for a time of their own may take longer to forget ${what}: see docs/verifying.md.`

async function restart(run: Run, { keepsRootKey, reason, yes }: Order & { readonly keepsRootKey: boolean }) {
  await confirm(
    run,
    `Revoke every signing key${keepsRootKey ? '' : ' and the root key'}, and end all sessions? Everybody has to log in again.`,
    { yes },
  )
  const admin = await run.open({ mayCreate: false, isRootKeyLost: !keepsRootKey })
  const restarted = await showEnding(run, to => revokeAllKeys(admin, { reason, keepsRootKey }, to))
  const { revoked, ended, tokens, rootKey, failUntil, maxAge } = restarted
  const told = [
    `Revoked ${formatCount(revoked.length, 'signing key')}, and ended ${formatCount(ended, 'session')}.`,
    facts({
      'living tokens': `at most ${tokens.toLocaleString('en-US')}, all refused from now on`,
      'root key': keepsRootKey ? `${rootKey.to}, as before` : `${rootKey.to}, instead of ${rootKey.from}`,
      'verifiers may fail': `until ${formatTime(failUntil)}, ${ifHonest(maxAge)}`,
    }),
    keepers('the keys'),
    ...passwordAdvice(restarted, admin.config.rootKeyFile),
    ...appAdvice(restarted, admin.config.rootKeyFile),
  ]
  return { text: told.join('\n'), json: describeRestarted(restarted) }
}

/** What the older root keys still mean for passwords. */
function passwordAdvice({ passwords: { older, lost } }: Restarted, file: string): string[] {
  const lostOnes =
    `The passwords of ${formatCount(lost, 'user')} cannot be checked: their root key is not in ${file}. Put it below ` +
    'the first line if there is a copy; otherwise `mintmark user passwd NAME` sets a new password.'
  const oldOnes =
    `The passwords of ${formatCount(older, 'user')} are hashed under an older root key until they log in, so it stays in ` +
    `${file}. Whoever has it and the database can guess them: have important ones changed with \`mintmark user passwd NAME\`.`
  return [...(lost > 0 ? [lostOnes] : []), ...(older > 0 ? [oldOnes] : [])]
}

/** And for authenticator apps. Passkeys need none: their secrets are on the devices of their owners. */
function appAdvice({ totps: { older, lost } }: Restarted, file: string): string[] {
  const lostOnes =
    `The codes of ${formatCount(lost, 'authenticator app')} cannot be checked: their root key is not in ${file}. Put it below ` +
    'the first line if there is a copy; otherwise `mintmark user factor remove NAME totp` lets their owners set up others.'
  const oldOnes =
    `The secrets of ${formatCount(older, 'authenticator app')} are sealed under an older root key until their owners log in. ` +
    'Whoever has it and the database knows all their codes: have important ones set up anew, after ' +
    '`mintmark user factor remove NAME totp`.'
  return [...(lost > 0 ? [lostOnes] : []), ...(older > 0 ? [oldOnes] : [])]
}
