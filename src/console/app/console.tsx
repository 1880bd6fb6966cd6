import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { isAdministrator, isConnected, noConnection } from './api/send.ts'
import { leaveForLogIn } from './auth/log-in.ts'
import { logInProblem, logOut, maySeeAll, person } from './auth/tokens.ts'
import { spoken } from './parts/speak.ts'
import { Page } from './parts/page.tsx'
import { href, match, path } from './router.ts'
import { settings } from './settings.ts'
import { views, type View } from './views.ts'

/** All that is on the screen. */
export function Console() {
  const found = views.flatMap(view => {
    const parameters = match(view.pattern, path.value)
    return parameters ? [{ view, parameters }] : []
  })[0]
  useFocusOnViews()
  return (
    <>
      <a class="skip" href="#view">
        Skip to the content
      </a>
      <Header current={found?.view} />
      <p class="banner" role="status" hidden={isConnected.value}>
        {noConnection}
      </p>
      <main id="view" tabIndex={-1}>
        {logInProblem.value !== undefined ? (
          <NotLoggedIn problem={logInProblem.value} />
        ) : !isAdministrator.value ? (
          <NoAdministrator />
        ) : found && !isFor(found.view) ? (
          <NotForYou />
        ) : found ? (
          <found.view.component key={path.value} {...found.parameters} />
        ) : (
          <Page title="There is nothing here">
            <p>
              This address is none of the console. <a href={href('/')}>Go to the overview</a>.
            </p>
          </Page>
        )}
      </main>
      <p class="spoken" role="status">
        {spoken.value}
      </p>
    </>
  )
}

/** Screen readers and keyboards go on at the new view, as they would at a new page. */
function useFocusOnViews(): void {
  const shown = useRef(path.value)
  useLayoutEffect(() => {
    if (path.value === shown.current) return
    shown.current = path.value
    window.scrollTo(0, 0)
    document.querySelector<HTMLElement>('main h1')?.focus()
  }, [path.value])
}

function Header({ current }: { readonly current: View | undefined }) {
  const [isOpen, setOpen] = useState(false)
  useEffect(() => setOpen(false), [path.value])
  const section = current && sectionOf(current)?.pattern
  return (
    <header>
      <a class="name" href={href('/')}>
        <img src={settings.icon} alt="" width="28" height="28" />
        <bdi>{settings.name}</bdi>
      </a>
      {person.value && isAdministrator.value && (
        <>
          <button
            class="menu second"
            aria-expanded={isOpen}
            aria-controls="views"
            onClick={() => setOpen(!isOpen)}
          >
            Menu
          </button>
          <nav id="views" aria-label="Views" data-open={isOpen}>
            <ul>
              {views
                .filter(view => view.title !== undefined && isFor(view))
                .map(({ title, pattern }) => (
                  <li key={pattern}>
                    <a href={href(pattern)} aria-current={pattern === section ? 'page' : undefined}>
                      {title}
                    </a>
                  </li>
                ))}
            </ul>
          </nav>
        </>
      )}
      {person.value && (
        <div class="person">
          <bdi>{person.value.name}</bdi>
          <button class="second" onClick={logOut}>
            Log out
          </button>
        </div>
      )}
    </header>
  )
}

/** The view in the navigation under which a view is. */
function sectionOf(view: View): View | undefined {
  return views.slice(0, views.indexOf(view) + 1).findLast(({ title }) => title !== undefined)
}

/** Whether it shows something to the person who is logged in. */
function isFor(view: View): boolean {
  return maySeeAll.value || !(view.needsAll ?? sectionOf(view)?.needsAll)
}

function NotLoggedIn({ problem }: { readonly problem: string }) {
  return (
    <Page title="You are not logged in">
      <p role="alert">{problem}</p>
      <button onClick={() => void leaveForLogIn()}>Log in</button>
    </Page>
  )
}

function NotForYou() {
  return (
    <Page title="This is for administrators">
      <p>
        You are logged in as <bdi>{person.value?.name}</bdi>, who may look at users and end sessions. Ask an
        administrator to look at this, or to give you the role mintmark:admin. If you have been given it since
        you logged in, load this page again.
      </p>
      <p>
        <a href={href('/')}>Go to the overview</a>
      </p>
    </Page>
  )
}

function NoAdministrator() {
  const { name = 'NAME', username = name } = person.value ?? {}
  return (
    <Page title="You are not an administrator">
      <p>
        You are logged in as <bdi>{name}</bdi>, who may not use this console, or may not any more.
      </p>
      <p>
        Ask an administrator to give you the role mintmark:admin or mintmark:support. If there is none yet,
        somebody on the host makes one:
      </p>
      <pre>
        <code>mintmark user update {username} --role mintmark:admin</code>
      </pre>
      <button onClick={logOut}>Log in as somebody else</button>
    </Page>
  )
}
