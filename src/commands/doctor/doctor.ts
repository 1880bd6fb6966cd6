import { statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { styleText } from 'node:util'
import type { Command } from '@commander-js/extra-typings'
import { latestSessionId } from '../../../db/sessions/pages.ts'
import type { Config } from '../../config/load.ts'
import type { Installation } from '../../installation/open.ts'
import { isLoopback } from '../../protocol/issuer.ts'
import { counted, formatBytes, formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { describeError } from '../shell/failures.ts'
import { checkAddresses } from './doctor-addresses.ts'
import { checkDatabase } from './doctor-database.ts'
import { checkKeys, checkPolicy } from './doctor-keys.ts'
import { checkRootKeys } from './doctor-root-keys.ts'
import { checkRows } from './doctor-rows.ts'
import { checkSweeper } from './doctor-sweeper.ts'
import { checkUsernames } from './doctor-users.ts'

/** What a check has found. A warning may be meant so; a problem is wrong. */
export interface Finding {
  readonly verdict: 'ok' | 'warning' | 'problem'
  readonly text: string
  /** What to do about it. */
  readonly advice?: string
}

interface Check<Subject> {
  readonly name: string
  readonly run: (subject: Subject, run: Run) => Promise<readonly Finding[]> | readonly Finding[]
}

/** Need the settings alone. */
const outerChecks: readonly Check<Config>[] = [
  { name: 'files', run: checkFiles },
  { name: 'disk', run: checkDisk },
  { name: 'issuer', run: checkIssuer },
]

/** Need the installation. */
const innerChecks: readonly Check<Installation>[] = [
  { name: 'database', run: checkDatabase },
  { name: 'rows', run: checkRows },
  { name: 'keys', run: checkKeys },
  { name: 'key policy', run: checkPolicy },
  { name: 'root key', run: checkRootKeys },
  { name: 'sweeper', run: checkSweeper },
  { name: 'addresses', run: checkAddresses },
  { name: 'user names', run: checkUsernames },
  { name: 'clock', run: checkClock },
]

/** `mintmark doctor`: looks at everything that can be looked at, and says what to do. */
export function doctorCommand(program: Command, terminal: Terminal): void {
  verb(program, 'doctor', 'check configuration, clock, files, database and keys, and say what to do', [
    'mintmark doctor',
    'mintmark doctor --json',
  ]).action(
    command(terminal, async run => {
      const findings = await examine(run)
      const count = (wanted: Finding['verdict']) =>
        findings.filter(({ verdict }) => verdict === wanted).length
      const [problems, warnings] = [count('problem'), count('warning')]
      if (problems > 0) run.fail(1)
      const summary =
        problems + warnings === 0
          ? 'All is well.'
          : `${counted(problems, 'problem')}, ${counted(warnings, 'warning')}.`
      return {
        text: [...findings.map(finding => draw(finding, run)), '', summary].join('\n'),
        json: { problems, warnings, findings },
      }
    }),
  )
}

type NamedFinding = Finding & { readonly check: string }

async function examine(run: Run): Promise<readonly NamedFinding[]> {
  const findings: NamedFinding[] = []
  /** A check that fails is a finding too. */
  const look = async <Subject>(
    name: string,
    work: () => Promise<Subject> | Subject,
  ): Promise<Subject | undefined> => {
    try {
      return await work()
    } catch (error) {
      findings.push({ check: name, verdict: 'problem', text: describeError(error) })
      return undefined
    }
  }
  const runAll = async <Subject>(checks: readonly Check<Subject>[], subject: Subject) => {
    for (const check of checks) {
      const found = (await look(check.name, () => check.run(subject, run))) ?? []
      findings.push(...found.map(finding => ({ check: check.name, ...finding })))
    }
  }

  const config = await look('configuration', run.config)
  if (!config) return findings
  findings.push({
    check: 'configuration',
    verdict: 'ok',
    text: `all settings are valid; home is ${config.home}`,
  })
  await runAll(outerChecks, config)
  const installation = await look('database', () => run.open())
  if (installation) await runAll(innerChecks, installation)
  return findings
}

/** Others on this machine must not read the secrets, nor replace the files. */
function checkFiles({ databaseUrl, rootKeyFile, rootKeyIsMounted }: Config): Finding[] {
  // Windows has no such modes.
  if (process.platform === 'win32') return []
  const findings: Finding[] = []
  const key = modeOf(rootKeyFile)
  if (key !== undefined && (key & 0o077) !== 0) {
    findings.push({
      verdict: rootKeyIsMounted ? 'warning' : 'problem',
      text: `others can read the root key ${rootKeyFile} (mode ${octal(key)})`,
      advice: rootKeyIsMounted ? 'mount it with mode 0400 for this user' : `chmod 600 ${rootKeyFile}`,
    })
  }
  const paths = [dirname(rootKeyFile)]
  if (databaseUrl.engine === 'sqlite') {
    const mode = modeOf(databaseUrl.file)
    if (mode !== undefined && (mode & 0o077) !== 0) {
      findings.push({
        verdict: 'warning',
        text: `others can read the database ${databaseUrl.file} (mode ${octal(mode)})`,
        advice: `chmod 600 ${databaseUrl.file}*`,
      })
    }
    paths.push(dirname(databaseUrl.file))
  }
  for (const path of new Set(paths)) {
    const mode = modeOf(path)
    if (mode === undefined || (mode & 0o002) === 0) continue
    findings.push({
      verdict: 'problem',
      text: `others can replace files in ${path} (mode ${octal(mode)})`,
      advice: `chmod go-w ${path}`,
    })
  }
  if (findings.length > 0) return findings
  return key === undefined ? [] : [{ verdict: 'ok', text: 'root key and database are for this user alone' }]
}

/** The permission bits; undefined when there is no such file, which another check tells. */
function modeOf(path: string): number | undefined {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode
  return mode === undefined ? undefined : mode & 0o777
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

const scarceBytes = 200e6

function checkDisk({ databaseUrl }: Config): Finding[] {
  if (databaseUrl.engine !== 'sqlite') return []
  const directory = dirname(databaseUrl.file)
  if (!statSync(directory, { throwIfNoEntry: false })) return []
  const { bavail, bsize } = statfsSync(directory)
  const text = `${formatBytes(bavail * bsize)} free in ${directory}`
  if (bavail * bsize >= scarceBytes) return [{ verdict: 'ok', text }]
  return [
    {
      verdict: 'problem',
      text: `only ${text}`,
      advice: 'make room: nothing can be issued when the disk is full',
    },
  ]
}

/** How long to wait for the server's answer, in milliseconds. */
const patience = 3000

/** Clients look for the metadata under the issuer's own name (RFC 8414 §3), through whatever stands before the server. */
async function checkIssuer({ issuer }: Config): Promise<Finding[]> {
  const { origin, pathname, hostname } = new URL(issuer)
  const url = `${origin}/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`
  let response: Response
  try {
    response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(patience) })
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    if (isLoopback(hostname)) return [{ verdict: 'ok', text: `no server answers at ${issuer} now` }]
    const advice = 'see that the name resolves, the proxy runs, and `mintmark serve` is up behind it'
    return [{ verdict: 'warning', text: `${url} cannot be reached from here: ${why}`, advice }]
  }
  const advice = `have the proxy pass ${origin} on to this server, and MINTMARK_ISSUER be the name that clients use`
  const metadata: unknown = response.ok ? await response.json().catch(() => undefined) : undefined
  const named =
    typeof metadata === 'object' && metadata !== null && 'issuer' in metadata ? metadata.issuer : undefined
  if (named === issuer) return [{ verdict: 'ok', text: `a server answers at ${issuer}` }]
  const text =
    typeof named === 'string'
      ? `the server at ${url} calls itself ${named}, but MINTMARK_ISSUER is ${issuer}`
      : `${url} answers ${response.status} and no metadata`
  return [{ verdict: 'problem', text, advice }]
}

/** The newest session tells when it began; the clock must not be before that. */
async function checkClock({ db, record }: Installation, { now }: Run): Promise<Finding[]> {
  const latest = Math.max(record.created_at, beginningOf(await latestSessionId(db)))
  const behind = latest - now()
  if (behind <= record.clock_skew_seconds) return [{ verdict: 'ok', text: `it is ${formatTime(now())}` }]
  return [
    {
      verdict: 'problem',
      text: `it is ${formatTime(now())} by this clock, but the database has seen ${formatTime(latest)}`,
      advice: 'set the clock, and keep it right with NTP: until then tokens may be refused as not yet valid',
    },
  ]
}

/** The time in a UUIDv7 (RFC 9562 §5.7), in seconds. */
function beginningOf(id: Buffer | undefined): number {
  return id ? Math.floor(id.readUIntBE(0, 6) / 1000) : 0
}

const colours = { ok: 'green', warning: 'yellow', problem: 'red' } as const

function draw({ check, verdict, text, advice }: NamedFinding, { stdout }: Run): string {
  const mark = styleText(colours[verdict], verdict.padEnd(7), { stream: stdout })
  const indent = ' '.repeat(24)
  const lines = `${text}${advice === undefined ? '' : `\n-> ${advice}`}`.replaceAll('\n', `\n${indent}`)
  return `${mark}  ${check.padEnd(13)}  ${lines}`
}
