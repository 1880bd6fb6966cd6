import type { Caller } from './load.ts'
import type { Mintmark } from './mintmark.ts'
import type { Child } from './processes.ts'

/** The servers of one run, all on the same core. */
export interface Servers {
  readonly mintmark: Mintmark
  /** The same one, for what is a ratio of the plain refresh. */
  readonly mintmarkPlain: Mintmark
  /** Another one on the same database. Only where a scenario needs it. */
  readonly mintmarkBeside?: Child
  /** A bare Fastify POST, or GET. */
  readonly bare: Child
  /** node-oidc-provider in memory. */
  readonly oidcProvider: Child
  /** The same with PostgreSQL, which is on another core. Only where a scenario needs it. */
  readonly mintmarkOnPostgres?: Mintmark
  /** The same work without a rule: what can be reached at best. */
  readonly floor: Child
  /** The same with its rows in the same PostgreSQL. Only where a scenario needs it. */
  readonly floorOnPostgres?: Child
}

export interface Scenario {
  readonly title: string
  /** Whether it is a part of people logging in, which docs/performance.md has in a table of its own. */
  readonly isLogIn?: boolean
  /** Prepares a round, whose runs take so many seconds. */
  readonly prepare?: (servers: Servers, seconds: number) => Promise<void>
  /**
   * The work of each server, ours first, one caller for each connection. Missing where it has no such work.
   */
  readonly callers: Partial<
    Record<keyof Servers, (servers: Servers) => Promise<readonly Caller[]> | readonly Caller[]>
  >
  /** The least that the ratio to each of the others should be. */
  readonly goals: Partial<Record<keyof Servers, number>>
}
