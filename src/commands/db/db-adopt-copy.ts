import {
  adoptCopied,
  describeAdoptedCopy,
  findStrandedPasskeys,
  issuersOf,
  type StrandedPasskeys,
} from '../../admin/adoption.ts'
import { formatCount } from '../../values/formats.ts'
import type { Run } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { facts, table } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'

/**
 * Makes a copy of an installation one of its own: a test system with the users and clients of the real one,
 * say.
 */
export async function adoptAsCopy(run: Run, yes: true | undefined) {
  // The original's root key need not have come along: nothing but passwords is read by it.
  const admin = await run.open({ mayCreate: false, isAdopted: true, isRootKeyLost: true })
  const issuers = issuersOf(admin)
  const { from, to } = issuers
  run.note(`For a copy alone, with a database of its own: what belongs to ${from} ends in this database.`)
  const passkeys = await findStrandedPasskeys(admin)
  for (const sentence of passkeySentences(passkeys, to)) run.note(sentence)
  await confirm(
    run,
    `Make this copy of ${from} the installation ${to}, with a new root key, new signing keys and new client secrets?`,
    { yes },
  )
  const adopted = await showEnding(run, options => adoptCopied(admin, issuers, options))
  const { rootKey, ended, passwords, totps, secrets } = adopted
  const told = [
    `This copy of ${from} is the installation ${to} from now on; nothing of one is worth anything for the other.`,
    facts({
      'root key': `${rootKey.to}, instead of ${rootKey.from}`,
      ended: formatCount(ended, 'session'),
    }),
    ...passwordSentences({ ...passwords, from, file: admin.config.rootKeyFile }),
    ...appSentences({ ...totps, from, file: admin.config.rootKeyFile }),
    ...(secrets.size === 0
      ? []
      : [
          'New client secrets (shown this once; only hashes are stored):',
          table(['CLIENT', 'SECRET'], [...secrets]),
        ]),
  ]
  return { text: told.join('\n'), json: describeAdoptedCopy(issuers, adopted, passkeys) }
}

interface Kept {
  readonly kept: number
  readonly lost: number
  readonly from: string
  readonly file: string
}

function passwordSentences({ kept, lost, from, file }: Kept): string[] {
  const keptHere =
    `${formatCount(kept, 'user')} can log in with the password that is good at ${from}, whose root key is in ${file} below ` +
    'the new one. Take its line out where these passwords are not to be typed here; then `mintmark user passwd NAME`.'
  const lostHere =
    `${formatCount(lost, 'user')} cannot log in before \`mintmark user passwd NAME\` has set a new password: the root key ` +
    `of ${from} is not in ${file}.`
  return [...(kept > 0 ? [keptHere] : []), ...(lost > 0 ? [lostHere] : [])]
}

function appSentences({ kept, lost, from, file }: Kept): string[] {
  const keptHere =
    `${formatCount(kept, 'authenticator app')} of ${from} ${kept === 1 ? 'is' : 'are'} good here too, as long as its root key ` +
    `is in ${file}.`
  const lostHere =
    `The codes of ${formatCount(lost, 'authenticator app')} cannot be checked: the root key of ${from} is not in ${file}. ` +
    '`mintmark user factor remove NAME totp` lets their owners set up others.'
  return [...(kept > 0 ? [keptHere] : []), ...(lost > 0 ? [lostHere] : [])]
}

/** What another domain means for passkeys, before it is agreed to. */
export function passkeySentences(passkeys: readonly StrandedPasskeys[], to: string): string[] {
  return passkeys.map(
    ({ rp_id, users }) =>
      `${formatCount(users, 'user')} ${users === 1 ? 'has' : 'have'} passkeys for ${rp_id}, which cannot be used at ${to}: ` +
      'see docs/passkeys.md. `mintmark doctor` names them until they are gone.',
  )
}
