import { circlesOf, type Import } from './sources.ts'

/**
 * The rooms from top to bottom. A room imports from those below it alone. docs/architecture.md says what each
 * is for.
 */
export const rooms: readonly string[] = [
  'src/main.ts',
  'src/commands',
  'src/server.ts',
  'src/app.ts',
  'src/context.ts',
  'src/admin-api',
  'src/console',
  'src/endpoints',
  'src/pages',
  'src/workers',
  'src/jobs',
  'src/http',
  'src/admin',
  'src/account',
  'src/grants',
  'src/authorization',
  'src/sessions',
  'src/streams',
  'src/push',
  'src/endings',
  'src/factors',
  'src/mail',
  'src/users',
  'src/clients',
  'src/installation',
  'src/keys',
  'src/record',
  'src/load',
  'src/config',
  'src/resource-server',
  'src/protocol',
  'src/values',
  'src/upkeep',
  'src/signals.ts',
  'src/quick-ticks.ts',
  'src/clock.ts',
  'src/errors.ts',
  'db',
]

/**
 * Rooms that are passed the context, and so know its type, although it stands above them. It names the
 * services of those below: these know only what each of their functions needs.
 */
const passedContext = [
  'admin-api',
  'console',
  'endpoints',
  'pages',
  'http',
  'jobs',
  'admin',
  'account',
  'grants',
  'authorization',
  'sessions',
  'factors',
]

/** The rooms that may use the database. No face does. */
const usersOfDatabase = [
  'server.ts',
  'context.ts',
  'jobs',
  'admin',
  'account',
  'grants',
  'authorization',
  'sessions',
  'streams',
  'push',
  'endings',
  'factors',
  'mail',
  'users',
  'clients',
  'installation',
  'record',
  'keys',
  // Reads what the URL of a database may be, and opens nothing.
  'config',
]

/** The room of a file: its folder in src/, the file itself if it has none there, or db/. */
export function roomOf(path: string): string {
  const [top = '', folder = ''] = path.split('/')
  return top === 'db' ? top : `${top}/${folder}`
}

/** Groups of rooms that import from each other, types included. */
export function circlesOfRooms(imports: readonly Import[]): readonly (readonly string[])[] {
  const arrows = imports.map(({ from, to }) => ({ from: roomOf(from), to: roomOf(to) }))
  return circlesOf(arrows.filter(({ from, to }) => from !== to))
}

/** Arrows between two rooms that the order does not allow, as `from → to`. */
export function arrowsBack(imports: readonly Import[]): readonly string[] {
  const arrows = imports
    .map(({ from, to }) => [roomOf(from), roomOf(to)] as const)
    .filter(([from, to]) => from !== to && !isAllowed(from, to))
    .map(([from, to]) => `${from} → ${to}`)
  return [...new Set(arrows)].toSorted()
}

function isAllowed(from: string, to: string): boolean {
  const name = from.replace('src/', '')
  if (to === 'db') return usersOfDatabase.includes(name)
  if (to === 'src/context.ts' && passedContext.includes(name)) return true
  const [above, below] = [rooms.indexOf(from), rooms.indexOf(to)]
  return above !== -1 && below !== -1 && above < below
}
