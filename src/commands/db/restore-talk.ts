import { resolve } from 'node:path'
import type { LostEndings } from '../../admin/restore/restore.ts'
import type { Choice, Talk } from '../../admin/restore/talk.ts'
import type { Run } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'
import { describeLost, describePlan } from './restore-report.ts'

/** The options that `restore` and `revive` share. */
export interface ChoiceOptions {
  readonly revocations?: readonly string[] | undefined
  readonly yes?: true | undefined
  readonly sessionsOnly?: true | undefined
  readonly acceptUnrevoked?: true | undefined
  readonly endSessions?: true | undefined
}

export function choiceOf({ workingDirectory }: Run, options: ChoiceOptions): Choice {
  const { revocations, sessionsOnly, acceptUnrevoked, endSessions } = options
  if (acceptUnrevoked && endSessions) {
    throw new UsageError('--accept-unrevoked and --end-sessions contradict each other')
  }
  const logs = revocations?.map(path => resolve(workingDirectory, path))
  return { logs, sessionsOnly, acceptUnrevoked, endSessions }
}

/**
 * Tells and asks at a terminal. Without one, a question is a refusal that says which options answer it.
 */
export function talkAt(run: Run, { yes }: ChoiceOptions): Talk {
  return {
    note: run.note,
    showProgress: (noun, total) => openProgress(run, noun, total),
    showEnding: work => showEnding(run, work),
    // Nothing is asked where the present database shows that there is nothing to lose.
    askLost: async (madeAt, lost) => {
      const first = '--revocations LOG revokes it again, as the logs of servers and commands tell'
      await askNevertheless(run, describeLost(madeAt, lost), first)
    },
    askUntold: async (madeAt, untold: LostEndings) => {
      const facts = describeLost(madeAt, untold)
      const first = 'more of --revocations LOG, since each command writes its own to stderr'
      await askNevertheless(run, facts && `The logs do not tell of all that had ended. ${facts}`, first)
    },
    agree: async plan => {
      const more = describePlan(plan)
      if (more.length === 0 || yes) return
      const head = 'The logs tell of more than sessions that have ended. This is done once more:'
      const facts = [head, ...more].join('\n')
      if (run.stdin.isTTY) {
        run.note(facts)
        await confirm(run, 'Do all of it?', { yes: undefined })
        return
      }
      throw new CommandError(
        `${facts}\nNothing was changed. Say what to do: --yes does all of it; --sessions-only ends sessions, and does nothing else`,
      )
    },
  }
}

async function askNevertheless(run: Run, facts: string | undefined, first: string): Promise<void> {
  if (facts === undefined) return
  if (run.stdin.isTTY) {
    run.note(facts)
    await confirm(run, 'Restore it nevertheless?', { yes: undefined })
    return
  }
  throw new CommandError(
    `${facts}\n` +
      `Nothing was changed. Say what to do: ${first}; ` +
      '--accept-unrevoked lets it live; --end-sessions ends all sessions of before',
  )
}
