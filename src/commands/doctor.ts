import { styleText } from 'node:util'
import type { Command } from '@commander-js/extra-typings'
import { describeFindings, examine, type NamedFinding } from '../admin/doctor/examine.ts'
import { formatCount } from '../values/formats.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { openProgress } from './shell/progress.ts'

/** `mintmark doctor`: looks at everything that can be looked at, and says what to do. */
export function doctorCommand(program: Command, terminal: Terminal): void {
  verb(program, 'doctor', 'check configuration, clock, files, database and keys, and say what to do', [
    'mintmark doctor',
    'mintmark doctor --json',
  ]).action(
    command(terminal, async run => {
      const findings = await examine({
        config: run.config,
        open: run.open,
        clock: run.clock,
        showProgress: (noun, total) => openProgress(run, noun, total),
      })
      const described = describeFindings(findings)
      const { problems, warnings } = described
      if (problems > 0) run.fail(1)
      const summary =
        problems + warnings === 0
          ? 'All is well.'
          : `${formatCount(problems, 'problem')}, ${formatCount(warnings, 'warning')}.`
      return {
        text: [...findings.map(finding => draw(finding, run)), '', summary].join('\n'),
        json: described,
      }
    }),
  )
}

const colours = { ok: 'green', warning: 'yellow', problem: 'red' } as const

function draw({ check, verdict, text, advice }: NamedFinding, { stdout }: Run): string {
  const mark = styleText(colours[verdict], verdict.padEnd(7), { stream: stdout })
  const indent = ' '.repeat(24)
  const lines = `${text}${advice === undefined ? '' : `\n-> ${advice}`}`.replaceAll('\n', `\n${indent}`)
  return `${mark}  ${check.padEnd(13)}  ${lines}`
}
