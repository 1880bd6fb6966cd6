import type { ComponentType } from 'preact'
import { maySeeAll } from '../auth/tokens.ts'
import { Page } from '../parts/page.tsx'
import { href } from '../router.ts'
import { LeakedKey } from './leaked-key.tsx'
import { LeakedSecret } from './leaked-secret.tsx'
import { LeakedToken } from './leaked-token.tsx'
import { LeakedUser } from './leaked-user.tsx'

interface Leak {
  readonly title: string
  /** When it is this one. */
  readonly about: string
  readonly component: ComponentType
  readonly needsAll?: boolean
}

/** By their names in the address. */
const leaks: Readonly<Record<string, Leak>> = {
  token: {
    title: 'A token',
    about: 'An access token, a refresh token or a personal access token was in a log, a chat, a repository.',
    component: LeakedToken,
  },
  user: {
    title: 'A password or a device of somebody',
    about: 'It was guessed, phished, lost or stolen.',
    component: LeakedUser,
  },
  secret: {
    title: 'A client secret',
    about: 'The secret or the key of an app was where others could read it.',
    component: LeakedSecret,
    needsAll: true,
  },
  key: {
    title: 'A signing key',
    about: 'Others could make tokens of their own with it.',
    component: LeakedKey,
    needsAll: true,
  },
}

/** What to do in an emergency. Nothing is done here: each step leads to an act that asks before it does. */
export function LeakedView() {
  return (
    <Page title="Something leaked">
      <p>What was it? Nothing is done before you have seen what it will do, and have confirmed it.</p>
      <ul class="rows" aria-label="What has leaked">
        {Object.entries(leaks)
          .filter(([, { needsAll }]) => !needsAll || maySeeAll.value)
          .map(([name, { title, about }]) => (
            <li key={name}>
              <a class="row" href={href(`/leaked/${name}`)}>
                {title}
              </a>
              <span>{about}</span>
            </li>
          ))}
      </ul>
      <p class="gap">
        Was it the root key, the database or the whole host? That is for the host itself: every key is made
        anew, and everybody has to log in again. <code>mintmark key revoke --all --help</code>
      </p>
    </Page>
  )
}

/** The steps for one kind of thing. */
export function LeakView({ what }: { readonly what: string }) {
  const leak = leaks[what]
  if (!leak || (leak.needsAll && !maySeeAll.value)) return <LeakedView />
  return (
    <Page title={`${leak.title} has leaked`} above={<a href={href('/leaked')}>Something leaked</a>}>
      <leak.component />
    </Page>
  )
}
