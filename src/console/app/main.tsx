import { render } from 'preact'
import { begin, LogInError, logInProblem } from './auth/tokens.ts'
import { Console } from './console.tsx'
import { startRouter } from './router.ts'

// Back to a page that was left for a log-in or a log-out: it waits for ever, or shows what is over.
window.addEventListener('pageshow', event => event.persisted && location.reload())

const root = document.getElementById('console')
if (!root) throw new Error('unreachable: the page has it')

try {
  await begin()
} catch (error) {
  logInProblem.value =
    error instanceof LogInError ? error.message : 'The server could not be reached. Is it running?'
}
startRouter()
root.replaceChildren()
render(<Console />, root)
