import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generationsInCrowd, type Crowd } from './crowds.ts'
import { forcedLogOuts, type Loss } from './devices.ts'
import { endedByOutage, type Outage } from './outages.ts'
import { drawPlot } from './plot.ts'
import { seedRandom } from './random.ts'
import { forgiving, ours, strict, windowOnly, type Policy } from './server.ts'
import { forcedLogOutsOfTabs, type Tabs } from './tabs.ts'
import { generationsUntilSeen, neverSeen, thieves, type Thief } from './thieves.ts'

/*
 * Shows what the rules of a refresh do to honest users and to thieves: `npm run simulate:refresh`. Prints
 * tables in Markdown and draws docs/refresh-simulation.svg. The judge is the server's own; the worlds are
 * made up, and say so.
 */

const alternatives: readonly Policy[] = [4, 8].map(lateLimit => ({
  ...ours,
  name: `${lateLimit} of 8 late`,
  lateLimit,
}))
const policies: readonly Policy[] = [strict, windowOnly, forgiving, ours, ...alternatives]

const losses: readonly number[] = [0.0003, 0.001, 0.003, 0.01, 0.02, 0.05]
const bursts: readonly [name: string, loss: Loss][] = [
  ['half-hours of 50 %, 29 a year', { share: 0.5, bad: 6, good: 594 }],
  ['hours of 50 %, 29 a year', { share: 0.5, bad: 12, good: 588 }],
  ['hours of 70 %, 15 a year', { share: 0.7, bad: 12, good: 1188 }],
]
const outages: readonly [name: string, outage: Outage, times: number][] = [
  ['30 minutes, all answers, 1,000 sessions', { sessions: 1000, minutes: 30, share: 1 }, 2],
  ['2 hours, 60 % of the answers, 1,000 sessions', { sessions: 1000, minutes: 120, share: 0.6 }, 2],
  ['2 hours, 60 % of the answers, 5 sessions', { sessions: 5, minutes: 120, share: 0.6 }, 200],
]
const crowds: readonly [name: string, crowd: Crowd][] = [
  ['follows, among 400 users', { loss: 0, ownSessions: 0 }],
  ['follows, among 400 users who lose 5 % of all answers', { loss: 0.05, ownSessions: 0 }],
  ['follows, and is late in ten sessions of his own', { loss: 0, ownSessions: 10 }],
]
const tabs: readonly Tabs[] = ['careful', 'careless']

const yearsOfDevices = 2000
const yearsOfTabs = 10
const thefts = 1000
const theftsInCrowd = 20

/** Runs one measurement for each policy. The same numbers fall for each, and in every run. */
function ofEach<Result>(name: string, measure: (policy: Policy, random: () => number) => Result): Result[] {
  process.stderr.write(`${name}\n`)
  return policies.map(policy => measure(policy, seedRandom(20_260_101)))
}

const perYear = (logOuts: number, years: number) => logOuts / years
const percent = (share: number) => `${share * 100} %`

const lossResults = losses.map(share =>
  ofEach(`losing ${percent(share)}`, (policy, random) =>
    perYear(forcedLogOuts(policy, { share }, yearsOfDevices, random), yearsOfDevices),
  ),
)
const burstResults = bursts.map(([name, loss]) =>
  ofEach(name, (policy, random) =>
    perYear(forcedLogOuts(policy, loss, yearsOfDevices, random), yearsOfDevices),
  ),
)
const tabResults = tabs.map(kind =>
  ofEach(`three ${kind} tabs`, (policy, random) =>
    perYear(forcedLogOutsOfTabs(policy, kind, yearsOfTabs, random), yearsOfTabs),
  ),
)
const outageResults = outages.map(([name, outage, times]) =>
  ofEach(name, (policy, random) => {
    let ended = 0
    for (let i = 0; i < times; i++) ended += endedByOutage(policy, outage, random)
    return ended / (times * outage.sessions)
  }),
)
const thiefResults = thieves.map(thief =>
  ofEach(`a thief who ${thief}`, (policy, random) => generationsUntilSeen(policy, thief, thefts, random)),
)
const crowdResults = crowds.map(([name, crowd]) =>
  ofEach(`a thief who ${name}`, (policy, random) => generationsInCrowd(policy, crowd, theftsInCrowd, random)),
)

function table(heading: string, rows: readonly (readonly [string, readonly string[]])[]): string {
  return [
    `| ${[heading, ...policies.map(policy => policy.name)].join(' | ')} |`,
    `| --- |${policies.map(() => ' ---: |').join('')}`,
    ...rows.map(([name, cells]) => `| ${[name, ...cells].join(' | ')} |`),
  ].join('\n')
}

function formatCount(value: number): string {
  if (value === 0) return '0'
  return value >= 10 ? value.toFixed(0) : value.toPrecision(2)
}

/** The middle one, and the last one. */
function formatGenerations(ascending: readonly number[]): string {
  const format = (generations = neverSeen) => (generations >= neverSeen ? 'never' : String(generations))
  const middle = format(ascending[Math.floor(ascending.length / 2)])
  const last = format(ascending.at(-1))
  return middle === last ? middle : `${middle} (${last})`
}

const named = <T>(
  names: readonly string[],
  results: readonly (readonly T[])[],
  format: (value: T) => string,
) => names.map((name, i) => [name, (results[i] ?? []).map(format)] as const)

process.stdout.write(
  [
    table('forced log-outs a session-year', [
      ...named(
        losses.map(share => `${percent(share)} of all answers lost`),
        lossResults,
        formatCount,
      ),
      ...named(
        bursts.map(([name]) => name),
        burstResults,
        formatCount,
      ),
      ...named(
        tabs.map(kind => `three ${kind} tabs`),
        tabResults,
        formatCount,
      ),
    ]),
    table(
      'sessions ended by answers that come too late',
      named(
        outages.map(([name]) => name),
        outageResults,
        share => `${formatCount(100 * share)} %`,
      ),
    ),
    table(
      'generations until a thief is seen (the last of all)',
      named(
        thieves.map(thief => `who ${thief}`),
        thiefResults,
        formatGenerations,
      ),
    ),
    table(
      `the same, with others around (the last of ${theftsInCrowd})`,
      named(
        crowds.map(([name]) => `who ${name}`),
        crowdResults,
        formatGenerations,
      ),
    ),
    '',
  ].join('\n\n'),
)

const drawn = [strict, windowOnly, forgiving, ours]
const of = (policy: Policy, results: readonly (readonly number[])[]) =>
  results.map(result => result[policies.indexOf(policy)] ?? 0)
const followers = thiefResults[thieves.indexOf('follows' satisfies Thief)] ?? []
const file = join(import.meta.dirname, '../../docs/refresh-simulation.svg')
writeFileSync(
  file,
  drawPlot(
    drawn.map(policy => ({
      name: policy.name,
      logOuts: of(policy, lossResults).map((y, i) => ({ x: losses[i] ?? 0, y })),
      seenAfter: followers[policies.indexOf(policy)] ?? [],
    })),
    { leastMeasured: 1 / yearsOfDevices },
  ),
)
process.stderr.write(`drew ${file}\n`)
