import { adoptCopied, describeAdoptedCopy, issuersOf } from '../../admin/adoption.ts'
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
  await confirm(
    run,
    `Make this copy of ${from} the installation ${to}, with a new root key, new signing keys and new client secrets?`,
    { yes },
  )
  const adopted = await showEnding(run, options => adoptCopied(admin, issuers, options))
  const { rootKey, ended, passwords, secrets } = adopted
  const told = [
    `This copy of ${from} is the installation ${to} from now on; nothing of one is worth anything for the other.`,
    facts({
      'root key': `${rootKey.to}, instead of ${rootKey.from}`,
      ended: formatCount(ended, 'session'),
    }),
    ...passwordSentences({ ...passwords, from, file: admin.config.rootKeyFile }),
    ...(secrets.size === 0
      ? []
      : [
          'New client secrets (shown this once; only hashes are stored):',
          table(['CLIENT', 'SECRET'], [...secrets]),
        ]),
  ]
  return { text: told.join('\n'), json: describeAdoptedCopy(issuers, adopted) }
}

function passwordSentences({
  kept,
  lost,
  from,
  file,
}: {
  kept: number
  lost: number
  from: string
  file: string
}): string[] {
  const keptHere =
    `${formatCount(kept, 'user')} can log in with the password that is good at ${from}, whose root key is in ${file} below ` +
    'the new one. Take its line out where these passwords are not to be typed here; then `mintmark user passwd NAME`.'
  const lostHere =
    `${formatCount(lost, 'user')} cannot log in before \`mintmark user passwd NAME\` has set a new password: the root key ` +
    `of ${from} is not in ${file}.`
  return [...(kept > 0 ? [keptHere] : []), ...(lost > 0 ? [lostHere] : [])]
}
