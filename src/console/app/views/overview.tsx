import { api, documentOf } from '../api/api.ts'
import { useAnswer } from '../api/use-answer.ts'
import { maySeeAll } from '../auth/tokens.ts'
import { textOf } from '../parts/form-data.ts'
import { KeyTimeline } from '../parts/key-timeline.tsx'
import { Page, Section } from '../parts/page.tsx'
import { Reading } from '../parts/reading.tsx'
import { go, href } from '../router.ts'
import { Charts } from './charts.tsx'
import { HealthSection } from './health.tsx'
import { RunningJobs } from './jobs.tsx'

/** Where everybody begins: whether all is well, and the ways to what somebody has come for. */
export function OverviewView() {
  return (
    <Page title="Overview">
      {maySeeAll.value && <HealthSection />}
      <FindUser />
      {maySeeAll.value && <Charts />}
      <RunningJobs />
      {maySeeAll.value && <Keys />}
    </Page>
  )
}

function FindUser() {
  return (
    <Section title="Somebody is in trouble">
      <form
        role="search"
        class="search"
        onSubmit={event => {
          event.preventDefault()
          go(href('/users', { search: textOf(new FormData(event.currentTarget), 'search') }))
        }}
      >
        <label for="find">Find a user by the beginning of a name or mail address</label>
        <input id="find" type="search" name="search" autocomplete="off" spellcheck={false} />
      </form>
    </Section>
  )
}

function Keys() {
  const keys = useAnswer(signal => documentOf(api.GET('/admin/v1/keys', { signal })), [])
  return (
    <Section title="Signing keys">
      <Reading of={keys}>{({ items }) => <KeyTimeline keys={items} />}</Reading>
      <p>
        <a href={href('/keys')}>All about the keys</a>
      </p>
    </Section>
  )
}
