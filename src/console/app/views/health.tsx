import { api, documentOf, type Finding } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { Time } from '../parts/time.tsx'
import { counted } from '../parts/words.ts'

/** Whether all is well, and what to do. */
export function HealthSection() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/health', { signal })), [])
  return (
    <Section
      title="Is everything well?"
      acts={
        <button class="second" onClick={read.again}>
          Look again
        </button>
      }
    >
      <Reading of={read}>
        {({ problems, warnings, findings, checked_at }) => {
          const wrong = findings.filter(({ verdict }) => verdict !== 'ok')
          const fine = findings.filter(({ verdict }) => verdict === 'ok')
          return (
            <>
              <p
                class={problems > 0 ? 'verdict bad' : warnings > 0 ? 'verdict' : 'verdict good'}
                role="status"
              >
                <strong>{verdictText(problems, warnings)}</strong>{' '}
                <span class="quiet">
                  Looked at <Time at={checked_at} />
                </span>
              </p>
              {/* Problems first. */}
              {[...wrong]
                .sort((a, b) => a.verdict.localeCompare(b.verdict))
                .map(finding => (
                  <Wrong key={finding.check + finding.text} finding={finding} />
                ))}
              <details>
                <summary>{counted(fine.length, 'check')} found nothing wrong</summary>
                <dl>
                  {fine.map(({ check, text }) => (
                    <div key={check + text}>
                      <dt>{nameOf(check)}</dt>
                      <dd>{text}</dd>
                    </div>
                  ))}
                </dl>
              </details>
            </>
          )
        }}
      </Reading>
    </Section>
  )
}

function verdictText(problems: number, warnings: number): string {
  const found = [
    ...(problems > 0 ? [counted(problems, 'problem')] : []),
    ...(warnings > 0 ? [counted(warnings, 'warning')] : []),
  ]
  return found.length === 0 ? 'All is well.' : `${found.join(' and ')}.`
}

function Wrong({ finding: { check, verdict, text, advice } }: { readonly finding: Finding }) {
  return (
    <div class={verdict === 'problem' ? 'problem' : 'warning'}>
      <p>
        <strong>
          {verdict === 'problem' ? 'Problem' : 'Warning'}: {check}.
        </strong>{' '}
        {text}
      </p>
      {advice !== undefined && <p>What to do: {advice}</p>}
    </div>
  )
}

const nameOf = (check: string) => check.charAt(0).toUpperCase() + check.slice(1)
