import { statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config } from '../../config/load.ts'
import { isLoopback } from '../../protocol/issuer.ts'
import { formatBytes } from '../../values/formats.ts'
import type { Finding } from './finding.ts'

/** Others on this machine must not read the secrets, nor replace the files. */
export function checkFiles({ databaseUrl, rootKeyFile, rootKeyIsMounted }: Config): Finding[] {
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

export function checkDisk({ databaseUrl }: Config): Finding[] {
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

/** How long to wait for the server's answer. */
const patienceSeconds = 3

/**
 * Clients look for the metadata under the issuer's own name (RFC 8414 §3), through whatever stands before the
 * server.
 */
export async function checkIssuer({ issuer }: Config): Promise<Finding[]> {
  const { origin, pathname, hostname } = new URL(issuer)
  const url = `${origin}/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`
  let response: Response
  try {
    response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(patienceSeconds * 1000) })
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
