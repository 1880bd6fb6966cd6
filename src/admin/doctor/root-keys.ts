import {
  countTotpsByRootKey,
  countUsersByRootKey,
  findRootKeyUse,
  listRootKeys,
} from '../../../db/keys/root-keys.ts'
import type { Admin, InstallationAdmin } from '../admin.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import type { Examination, Finding } from './finding.ts'

/** Which root keys the file must hold, and which of the older ones may go. */
export async function checkRootKeys(
  admin: InstallationAdmin,
  { clock, config }: Examination,
): Promise<readonly Finding[]> {
  const { db, rootKeys, installation } = admin
  const { rootKeyFile } = config
  const past = (await listRootKeys(db)).filter(({ id }) => id !== installation.root_key_id)
  const findings: Finding[] = [...(await findMissing(admin, rootKeyFile))]
  const [first] = rootKeys.ids
  if (first !== installation.root_key_id && !past.some(({ id }) => id === first)) {
    findings.push({
      verdict: 'warning',
      text: `${rootKeyFile} begins with the root key ${first}, but the database is under ${installation.root_key_id}`,
      advice: '`mintmark key rotate-root` takes the new one up, when every server has it',
    })
  }
  for (const id of rootKeys.ids.filter(id => id !== installation.root_key_id)) {
    const until = past.find(row => row.id === id)?.current_until
    if (until === undefined || until === null) {
      if (id !== first) findings.push(unneededKey(rootKeyFile, id, 'has never been used by this database'))
      continue
    }
    const { users, totps, sessions, sessionsEndAt, signingKeys, mails, streams } = await findRootKeyUse(db, {
      id,
      until,
      now: clock.now(),
    })
    const needs = [
      users > 0 ? `${formatCount(users, 'password')}, until the users log in` : '',
      totps > 0 ? `${formatCount(totps, 'authenticator app')}, until the users log in with them` : '',
      sessions > 0
        ? `${formatCount(sessions, 'session')}, until ${formatTime(sessionsEndAt)} at the latest`
        : '',
      signingKeys > 0 ? `${formatCount(signingKeys, 'signing key')}, until a server has run` : '',
      mails > 0 ? `${formatCount(mails, 'mail')}, until a server has run` : '',
      streams > 0 ? `${formatCount(streams, 'stream')}, until a server has run` : '',
    ].filter(need => need !== '')
    if (needs.length === 0) findings.push(unneededKey(rootKeyFile, id, 'is not needed any more'))
    else
      findings.push({
        verdict: 'ok',
        text: `the older root key ${id} is needed by ${needs.join('; and by ')}`,
      })
  }
  return findings.length > 0
    ? findings
    : [{ verdict: 'ok', text: `${installation.root_key_id}, and no older one` }]
}

function unneededKey(file: string, id: string, why: string): Finding {
  return {
    verdict: 'ok',
    text: `the root key ${id} ${why}`,
    advice: `delete its line from ${file}, the one below \`# root key ${id}\`; and from the copies that you keep`,
  }
}

/** Root keys that something needs and the file does not have. */
async function findMissing({ db, rootKeys }: Admin, rootKeyFile: string): Promise<readonly Finding[]> {
  const isMissing = ([id]: readonly [string, number]) => !rootKeys.has(id)
  const passwords = [...(await countUsersByRootKey(db))].filter(isMissing)
  const apps = [...(await countTotpsByRootKey(db))].filter(isMissing)
  return [
    ...passwords.map(([id, users]): Finding => ({
      verdict: 'problem',
      text: `${formatCount(users, 'password')} cannot be checked: ${rootKeyFile} lacks the root key ${id}`,
      advice:
        'add it below the first line from your backup of the file, or set new passwords: `mintmark user passwd`',
    })),
    ...apps.map(([id, totps]): Finding => ({
      verdict: 'problem',
      text: `the codes of ${formatCount(totps, 'authenticator app')} cannot be checked: ${rootKeyFile} lacks the root key ${id}`,
      advice:
        'add it below the first line from your backup of the file, or remove them: `mintmark user factor remove NAME totp`',
    })),
  ]
}
