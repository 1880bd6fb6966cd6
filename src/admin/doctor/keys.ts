import { listSigningKeys } from '../../../db/keys/signing-keys.ts'
import { listUsedAlgs } from '../../../db/keys/used-algs.ts'
import type { InstallationAdmin } from '../admin.ts'
import { pendingClientAlgs } from '../pending-algs.ts'
import { phaseOf, rotationDue } from '../../keys/ring/key-life.ts'
import {
  algsSigning,
  algsWanted,
  policyAdvice,
  policyNote,
  policyWarning,
  unheededPolicy,
} from '../../keys/ring/key-policy.ts'
import { latestTimeOf } from '../../keys/ring/ring-follower.ts'
import { openKey } from '../../keys/ring/signing-key.ts'
import { followBoundSeconds } from '../../protocol/key-lead.ts'
import { formatCount, formatTime, printable } from '../../values/formats.ts'
import type { Examination, Finding } from './finding.ts'

/** How late a rotation may be where a server runs. */
const lateSeconds = 3600

/** Each algorithm has one key that signs and one that is published to follow it, and all of them open. */
export async function checkKeys(
  { db, rootKeys, installation }: InstallationAdmin,
  { clock }: Examination,
): Promise<readonly Finding[]> {
  const rows = (await listSigningKeys(db)).filter(row => phaseOf(row) !== 'revoked')
  if (rows.length === 0) return [{ verdict: 'ok', text: 'none yet: `mintmark serve` makes the first ones' }]
  const findings: Finding[] = []
  for (const row of rows) {
    const opened = openKey(row, rootKeys)
    if (opened.kind === 'open') continue
    findings.push({
      verdict: 'problem',
      text: `the ${printable(`${row.alg} key ${row.kid}`)} does not open: ${opened.reason}`,
      advice:
        opened.kind === 'unknown'
          ? 'put the root key file back from your backup, or upgrade this program'
          : 'put the database back from your backup; or a running server replaces the key, and its tokens are refused',
    })
  }
  const used = await listUsedAlgs(db)
  const signing = algsSigning(used)
  for (const alg of algsWanted(used)) {
    const active = rows.find(row => row.alg === alg && phaseOf(row) === 'active')
    const next = rows.find(row => row.alg === alg && phaseOf(row) === 'next')
    const advice = 'start a server: it does by itself what is due'
    if (!active && signing.includes(alg))
      findings.push({ verdict: 'problem', text: `no key signs ${alg}`, advice })
    if (!next) findings.push({ verdict: 'warning', text: `no ${alg} key is published to follow`, advice })
    const dueAt = active && rotationDue(active, { rotationSeconds: installation.key_rotation_seconds })
    if (dueAt !== undefined && dueAt + lateSeconds < clock.now()) {
      const text = `the ${alg} key should have rotated ${formatTime(dueAt)}`
      findings.push({ verdict: 'warning', text, advice })
    }
  }
  findings.push(...(await awaitedAlgs({ db, clock })))
  const warning = policyWarning(installation)
  if (warning !== undefined)
    findings.push({ verdict: 'warning', text: warning, advice: policyAdvice(installation) })
  const latest = latestTimeOf(rows)
  if (latest > clock.now() + followBoundSeconds) {
    findings.push({
      verdict: 'problem',
      text: `it is ${formatTime(clock.now())} by this clock, but the key ring has seen ${formatTime(latest)}`,
      advice: 'set the clock, and keep it right with NTP: until then keys wait longer than they should',
    })
  }
  if (findings.length > 0) return findings
  const text = `${formatCount(rows.length, 'key')}, all in order: \`mintmark key list\` shows them`
  const note = policyNote(installation)
  return [{ verdict: 'ok', text: note === undefined ? text : `${text};\n${note}` }]
}

/** The algorithms of clients that do not sign yet. */
async function awaitedAlgs(admin: Parameters<typeof pendingClientAlgs>[0]): Promise<readonly Finding[]> {
  const changes = [...(await pendingClientAlgs(admin))]
  const byAlg = Object.groupBy(changes, ([, { alg }]) => alg)
  return Object.entries(byAlg).map(([alg, clients = []]) => {
    const [[first, { previousAlg, at }] = ['', { previousAlg: '', at: 0 }]] = clients
    const others = clients.length > 1 ? ` and ${formatCount(clients.length - 1, 'other client')}` : ''
    return {
      verdict: 'warning',
      text: `no ${alg} key signs yet, which ${printable(first)}${others} chose: ${previousAlg} does until ${formatTime(at)}`,
      advice: 'keep a server running until then; it does by itself what is due',
    }
  })
}

/** A policy that was set where it does not count. */
export function checkPolicy(
  { installation }: InstallationAdmin,
  { config }: Examination,
): readonly Finding[] {
  const unheeded = unheededPolicy(config.keyPolicySet, installation)
  return unheeded ? [{ verdict: 'warning', ...unheeded }] : []
}
