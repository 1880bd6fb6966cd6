import { listResources } from '../../../db/clients/resources.ts'
import { countUsersByRootKey } from '../../../db/keys/root-keys.ts'
import type { InstallationTable } from '../../../db/schema.ts'
import type { Config } from '../../config/load.ts'
import { endAllOfCopy } from '../../endings/end.ts'
import { algsWanted } from '../../keys/ring/key-policy.ts'
import { hashSecret, newClientSecret } from '../../protocol/secrets.ts'
import { counted } from '../../values/formats.ts'
import type { Run } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError } from '../shell/failures.ts'
import { facts, table } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'

/** The issuer that the database has, and the one that it is to get. */
export function issuersOf({ issuer: to }: Config, { issuer: from }: InstallationTable) {
  if (from === to)
    throw new CommandError(`the database belongs to ${to} already: set MINTMARK_ISSUER to its new issuer`)
  return { from, to }
}

/** Makes a copy of an installation one of its own: a test system with the users and clients of the real one, say. */
export async function adoptAsCopy(run: Run, yes: true | undefined) {
  // The original's root key need not have come along: nothing but passwords is read by it.
  const admin = await run.open({
    mayCreate: false,
    isAdopted: true,
    isRootKeyLost: true,
  })
  const { config, db, rootKeys, record } = admin
  const { from, to } = issuersOf(config, record)
  run.note(`For a copy alone, with a database of its own: what belongs to ${from} ends in this database.`)
  await confirm(
    run,
    `Make this copy of ${from} the installation ${to}, with a new root key, new signing keys and new client secrets?`,
    { yes },
  )
  const secrets = new Map<string, string>()
  const copy = {
    by: admin,
    rootKeys,
    file: config,
    algs: algsWanted(await listResources(db)),
    from,
    to,
    secretHashOf: (id: string) => {
      const secret = newClientSecret()
      secrets.set(id, secret)
      return hashSecret(secret)
    },
  }
  const adopted = await showEnding(run, options => endAllOfCopy(copy, options))
  if (!adopted) throw new CommandError('another process has changed the issuer meanwhile: look again')
  const sessions = adopted.ended
  const users = [...(await countUsersByRootKey(db))]
  const count = (isWanted: (id: string) => boolean) =>
    users.filter(([id]) => isWanted(id)).reduce((sum, [, number]) => sum + number, 0)
  const kept = count(id => rootKeys.has(id))
  const lost = count(id => !rootKeys.has(id))
  const clients = [...secrets].map(([client_id, client_secret]) => ({ client_id, client_secret }))
  const told = [
    `This copy of ${from} is the installation ${to} from now on; nothing of one is worth anything for the other.`,
    facts({
      'root key': `${adopted.to}, instead of ${adopted.from}`,
      ended: counted(sessions, 'session'),
    }),
    ...passwordSentences({ kept, lost, from, file: config.rootKeyFile }),
    ...(clients.length === 0
      ? []
      : [
          'New client secrets (shown this once; only hashes are stored):',
          table(
            ['CLIENT', 'SECRET'],
            clients.map(({ client_id, client_secret }) => [client_id, client_secret]),
          ),
        ]),
  ]
  return {
    text: told.join('\n'),
    json: {
      from,
      to,
      root_key: { from: adopted.from, to: adopted.to },
      sessions_revoked: sessions,
      passwords_kept: kept,
      passwords_lost: lost,
      clients,
    },
  }
}

interface Passwords {
  /** How many are checked with the original's root key, which has come along. */
  readonly kept: number
  /** How many cannot be checked here. */
  readonly lost: number
  readonly from: string
  readonly file: string
}

function passwordSentences({ kept, lost, from, file }: Passwords): string[] {
  const keptHere =
    `${counted(kept, 'user')} can sign in with the password that is good at ${from}, whose root key is in ${file} below ` +
    'the new one. Take its line out where these passwords are not to be typed here; then `mintmark user passwd NAME`.'
  const lostHere =
    `${counted(lost, 'user')} cannot sign in before \`mintmark user passwd NAME\` has set a new password: the root key ` +
    `of ${from} is not in ${file}.`
  return [...(kept > 0 ? [keptHere] : []), ...(lost > 0 ? [lostHere] : [])]
}
