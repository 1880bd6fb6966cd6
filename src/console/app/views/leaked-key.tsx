import { api, documentOf } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { Reading } from '../parts/reading.tsx'
import { Step, Steps } from '../parts/steps.tsx'
import { counted } from '../parts/words.ts'
import { href } from '../router.ts'

/** Which key it was, and what to do. */
export function LeakedKey() {
  const read = useAnswer(signal => documentOf(api.GET('/admin/v1/keys', { signal })), [])
  return (
    <Reading of={read}>
      {({ items }) => (
        <>
          <p>
            A leaked key is revoked at once. Rotating is not enough: what it has signed would be believed. If
            you do not know which one it was, revoke each.
          </p>
          <Steps>
            {items
              .filter(({ state }) => state !== 'revoked')
              .map(({ kid, alg, state, live_tokens_at_most: tokens }) => (
                <Step
                  key={kid}
                  title={`${kid.slice(0, 8)}…, ${alg}, ${state}`}
                  to={href('/keys', { act: `revoke-${kid}` })}
                  does="Revoke this key…"
                >
                  <p>
                    Up to <strong>{counted(tokens, 'living token')}</strong> that it has signed are refused;
                    their apps get others by a refresh, and sessions go on.
                  </p>
                </Step>
              ))}
            <Step
              title="Look at what was done"
              to={href('/audit', { about: 'keys and the server' })}
              does="What happened to the keys"
            >
              <p>
                Tokens that others have made with the key are in no trail of ours: ask those who run the APIs.
              </p>
            </Step>
          </Steps>
        </>
      )}
    </Reading>
  )
}
