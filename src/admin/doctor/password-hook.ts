import { describeHook } from '../../config/password-hook.ts'
import { askHook, HookError, madeUpCredentials } from '../../users/hook-request.ts'
import type { Admin } from '../admin.ts'
import type { Examination, Finding } from './finding.ts'

/** Whether the old system answers, and says no to a user who does not exist. */
export async function checkPasswordHook(
  { config: { passwordHook: address, signUp } }: Pick<Admin, 'config'>,
  { clock }: Pick<Examination, 'clock'>,
): Promise<readonly Finding[]> {
  if (!address) return []
  const name = describeHook(address)
  const findings: Finding[] = []
  try {
    const answer = await askHook(address, madeUpCredentials(), { now: clock.now() })
    findings.push(
      answer === undefined
        ? { verdict: 'ok', text: `the password hook ${name} answers, and says no to a made-up user` }
        : {
            verdict: 'problem',
            text: `the password hook ${name} says yes to a made-up user with a made-up password`,
            advice:
              'take MINTMARK_PASSWORD_HOOK_URL away until it looks at the password: anybody gets in by it',
          },
    )
  } catch (error) {
    if (!(error instanceof HookError)) throw error
    findings.push({
      verdict: 'problem',
      text: `the password hook ${name} does not answer as it should: ${error.message}`,
      advice:
        'until it does, users who are unknown here cannot log in; docs/moving-here.md says what it answers',
    })
  }
  if (signUp === 'open')
    findings.push({
      verdict: 'warning',
      text: 'people may sign up, and so take user names of those who have not moved yet, who cannot log in then',
      advice: 'set MINTMARK_SIGN_UP=off as long as there is a password hook',
    })
  return findings
}
