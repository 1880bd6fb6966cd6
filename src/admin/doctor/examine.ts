import { readInstallation } from '../../../db/installation/installation.ts'
import type { Config } from '../../config/load.ts'
import type { Admin, InstallationAdmin } from '../admin.ts'
import { describeFault } from '../faults.ts'
import { checkAddresses } from './addresses.ts'
import { checkClients } from './clients.ts'
import { checkClock } from './clock.ts'
import { checkDatabase } from './database.ts'
import { checkDeliveries } from './deliveries.ts'
import type { Examination, Finding } from './finding.ts'
import { checkKeys, checkPolicy } from './keys.ts'
import { checkMail, checkUndelivered } from './mail.ts'
import { checkPasskeys } from './passkeys.ts'
import { checkPasswordHook } from './password-hook.ts'
import { checkRootKeys } from './root-keys.ts'
import { checkRows } from './rows.ts'
import { checkDisk, checkFiles, checkIssuer } from './surroundings.ts'
import { checkSessionIndex } from './session-index.ts'
import { checkStreams } from './streams.ts'
import { checkSweeper } from './sweeper.ts'
import { checkTokens } from './tokens.ts'
import { checkTrustedIssuers } from './trusted-issuers.ts'
import { checkNamesToCome, checkUsernames } from './usernames.ts'

interface Check<Subject> {
  readonly name: string
  readonly run: (
    subject: Subject,
    examination: Examination,
  ) => Promise<readonly Finding[]> | readonly Finding[]
  /** Reads whole tables, or asks another system as a user would: the command line alone does that. */
  readonly isLong?: true
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
const innerChecks: readonly Check<InstallationAdmin>[] = [
  { name: 'database', run: checkDatabase },
  { name: 'rows', isLong: true, run: checkRows },
  { name: 'keys', run: checkKeys },
  { name: 'key policy', run: checkPolicy },
  { name: 'root key', isLong: true, run: checkRootKeys },
  { name: 'sweeper', run: checkSweeper },
  { name: 'session index', run: checkSessionIndex },
  { name: 'addresses', isLong: true, run: checkAddresses },
  { name: 'user names', isLong: true, run: checkUsernames },
  { name: 'tokens', isLong: true, run: checkTokens },
  { name: 'passkeys', isLong: true, run: checkPasskeys },
  { name: 'clients', run: checkClients },
  { name: 'deliveries', run: checkDeliveries },
  { name: 'streams', run: checkStreams },
  { name: 'mail', run: checkMail },
  { name: 'mail', isLong: true, run: checkUndelivered },
  { name: 'password hook', isLong: true, run: checkPasswordHook },
  { name: 'other issuers', isLong: true, run: checkTrustedIssuers },
  { name: 'clock', run: checkClock },
]

export type NamedFinding = Finding & { readonly check: string }

/** How to get at what is examined. Each may throw, which is a finding too. */
export interface Patient extends Omit<Examination, 'config'> {
  readonly config: () => Config
  readonly open: () => Promise<InstallationAdmin>
}

/** Looks at everything that can be looked at: settings, files, issuer, then the database and its rows. */
export async function examine(patient: Patient): Promise<readonly NamedFinding[]> {
  const findings: NamedFinding[] = []
  const config = await look(findings, 'configuration', patient.config)
  if (!config) return findings
  const examination = { ...patient, config }
  findings.push({
    check: 'configuration',
    verdict: 'ok',
    text: `all settings are valid; home is ${config.home}`,
  })
  findings.push(...(await runAll(outerChecks, config, examination)))
  const admin = await look(findings, 'database', patient.open)
  const inner = admin ? runAll(innerChecks, admin, examination) : runAll(checksBefore, config, examination)
  return [...findings, ...(await inner)]
}

const isShort = ({ isLong = false }: { readonly isLong?: boolean }) => !isLong

/** Looks at all that a server that runs can look at beside its work. */
export async function examineServed(admin: Admin): Promise<readonly NamedFinding[]> {
  const { config, clock } = admin
  const examination = { config, clock, showProgress: () => ({ at: () => {}, end: () => {} }) }
  const findings = [...(await runAll(outerChecks, config, examination))]
  const installation = await look(findings, 'database', () => readInstallation(admin.db))
  const inner = innerChecks.filter(isShort)
  if (installation) findings.push(...(await runAll(inner, { ...admin, installation }, examination)))
  return findings
}

/** The document of an examination. */
export function describeFindings(findings: readonly NamedFinding[]) {
  const count = (wanted: Finding['verdict']) => findings.filter(({ verdict }) => verdict === wanted).length
  return { problems: count('problem'), warnings: count('warning'), findings }
}

async function runAll<Subject>(
  checks: readonly Check<Subject>[],
  subject: Subject,
  examination: Examination,
): Promise<readonly NamedFinding[]> {
  const findings: NamedFinding[] = []
  for (const check of checks) {
    const found = (await look(findings, check.name, () => check.run(subject, examination))) ?? []
    findings.push(...found.map(finding => ({ check: check.name, ...finding })))
  }
  return findings
}

/** Does a work whose failure is a finding too. */
async function look<Subject>(
  findings: NamedFinding[],
  name: string,
  work: () => Promise<Subject> | Subject,
): Promise<Subject | undefined> {
  try {
    return await work()
  } catch (error) {
    findings.push({ check: name, verdict: 'problem', text: describeFault(error) })
    return undefined
  }
}
