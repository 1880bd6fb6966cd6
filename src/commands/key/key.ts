import type { Command } from '@commander-js/extra-typings'
import { listKeys, rotateKeys, type KeyDocument, type RotationDocument } from '../../admin/keys.ts'
import { algs } from '../../admin/resources.ts'
import { formatTime, printable } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { table } from '../shell/output.ts'
import { policyVerb } from './key-policy.ts'
import { revokeVerb } from './key-revoke.ts'
import { rootKeyVerbs } from './key-root.ts'
import { drawTimeline, nextSteps, shortKid } from './key-timeline.ts'

/** `mintmark key`: the keys that sign tokens, and the root key that everything secret is encrypted under. */
export function keyCommands(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('signing keys, and the root key')

  verb(key, 'list', 'show the signing keys, as lines in time, and what comes next', [
    'mintmark key list',
  ]).action(
    command(terminal, async run => {
      const keys = await listKeys(await run.open())
      return { text: draw(keys, run), json: keys }
    }),
  )

  verb(key, 'rotate', 'let the next signing key sign, as soon as every verifier can know it', [
    'mintmark key rotate',
    'mintmark key rotate --alg ES256',
  ])
    .option('--alg <alg>', `of this algorithm only: ${algs.join(', ')}`)
    .action(
      command(terminal, async ({ open, clock }, { alg }) => {
        const rotations = await rotateKeys(await open(), alg)
        const now = clock.now()
        return { text: rotations.map(rotation => wordsFor(rotation, now)).join('\n'), json: rotations }
      }),
    )

  revokeVerb(key, terminal)
  policyVerb(key, terminal)
  rootKeyVerbs(key, terminal)
}

/** A terminal's width where none tells its own. */
const widthWithoutTerminal = 100

function draw(keys: readonly KeyDocument[], { clock, stdout }: Run): string {
  if (keys.length === 0) return 'There is no signing key yet: `mintmark serve` makes the first ones.'
  const now = clock.now()
  const width = stdout.columns ?? widthWithoutTerminal
  const steps = nextSteps(keys).map(
    ({ at, alg, text }) =>
      `  ${at <= now ? 'now, if a server runs'.padEnd(20) : formatTime(at)}  ${alg.padEnd(7)}  ${text}`,
  )
  const cells = keys.map(key => {
    const times = [key.published_at, key.signs_from, key.retires_at, key.gone_at].map(formatTime)
    return [`  ${printable(key.kid)}`, key.alg, key.state ?? '', ...times, key.revoke_reason ?? '']
  })
  const columns = ['  KID', 'ALG', 'STATE', 'PUBLISHED', 'SIGNS FROM', 'RETIRES', 'GONE']
  const isAnyRevoked = keys.some(key => key.revoked_at !== null)
  return [
    drawTimeline({ keys, now, width, stream: stdout }),
    '',
    table(isAnyRevoked ? [...columns, 'REVOKED FOR'] : columns, cells),
    '',
    'Next:',
    ...(steps.length === 0 ? ['  nothing'] : steps),
  ].join('\n')
}

function wordsFor({ alg, to, effective_at }: RotationDocument, now: number): string {
  const name = to === null ? `The next ${alg} key` : `The next ${alg} key ${shortKid(to)}`
  return effective_at <= now
    ? `${name} signs within a second, if a server runs.`
    : `${name} signs at ${formatTime(effective_at)}, when every verifier can know it, if a server runs until then.`
}
