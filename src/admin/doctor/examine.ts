import type { Config } from '../../config/load.ts'
import type { Admin } from '../admin.ts'
import { describeFault } from '../faults.ts'
import { checkAddresses } from './addresses.ts'
import { checkClients } from './clients.ts'
import { checkClock } from './clock.ts'
import { checkDatabase } from './database.ts'
import type { Examination, Finding } from './finding.ts'
import { checkKeys, checkPolicy } from './keys.ts'
import { checkMail } from './mail.ts'
import { checkPasskeys } from './passkeys.ts'
import { checkPasswordHook } from './password-hook.ts'
import { checkRootKeys } from './root-keys.ts'
import { checkRows } from './rows.ts'
import { checkDisk, checkFiles, checkIssuer } from './surroundings.ts'
import { checkSweeper } from './sweeper.ts'
import { checkNamesToCome, checkUsernames } from './usernames.ts'

interface Check<Subject> {
  readonly name: string
  readonly run: (
    subject: Subject,
    examination: Examination,
  ) => Promise<readonly Finding[]> | readonly Finding[]
}

/** Need the settings alone. */
const outerChecks: readonly Check<Config>[] = [
  { name: 'files', run: checkFiles },
  { name: 'disk', run: checkDisk },
  { name: 'issuer', run: checkIssuer },
]

/** Look at a database that cannot be opened yet. */
const checksBefore: readonly Check<Config>[] = [{ name: 'user names', run: checkNamesToCome }]

/** Need the installation. */
const innerChecks: readonly Check<Admin>[] = [
  { name: 'database', run: checkDatabase },
  { name: 'rows', run: checkRows },
  { name: 'keys', run: checkKeys },
  { name: 'key policy', run: checkPolicy },
  { name: 'root key', run: checkRootKeys },
  { name: 'sweeper', run: checkSweeper },
  { name: 'addresses', run: checkAddresses },
  { name: 'user names', run: checkUsernames },
  { name: 'passkeys', run: checkPasskeys },
  { name: 'clients', run: checkClients },
  { name: 'mail', run: checkMail },
  { name: 'password hook', run: checkPasswordHook },
  { name: 'clock', run: checkClock },
]

export type NamedFinding = Finding & { readonly check: string }

/** How to get at what is examined. Each may throw, which is a finding too. */
export interface Patient extends Omit<Examination, 'config'> {
  readonly config: () => Config
  readonly open: () => Promise<Admin>
}

/** Looks at everything that can be looked at: settings, files, issuer, then the database and its rows. */
export async function examine(patient: Patient): Promise<readonly NamedFinding[]> {
  const findings: NamedFinding[] = []
  const look = async <Subject>(
    name: string,
    work: () => Promise<Subject> | Subject,
  ): Promise<Subject | undefined> => {
    try {
      return await work()
    } catch (error) {
      findings.push({ check: name, verdict: 'problem', text: describeFault(error) })
      return undefined
    }
  }

  const config = await look('configuration', patient.config)
  if (!config) return findings
  const examination = { ...patient, config }
  const runAll = async <Subject>(checks: readonly Check<Subject>[], subject: Subject) => {
    for (const check of checks) {
      const found = (await look(check.name, () => check.run(subject, examination))) ?? []
      findings.push(...found.map(finding => ({ check: check.name, ...finding })))
    }
  }
  findings.push({
    check: 'configuration',
    verdict: 'ok',
    text: `all settings are valid; home is ${config.home}`,
  })
  await runAll(outerChecks, config)
  const admin = await look('database', patient.open)
  if (admin) await runAll(innerChecks, admin)
  else await runAll(checksBefore, config)
  return findings
}
