import { parentPort, workerData } from 'node:worker_threads'
import { headers } from './callers.ts'
import { load, type Caller } from './load.ts'

/*
 * The attackers of bench/flood.ts, in a thread of their own: so many connections, each of which guesses
 * another user's password as soon as it has heard of the last one. Answers how often each status came.
 */
const { url, connections, seconds } = workerData as { url: string; connections: number; seconds: number }

const statuses: Record<number, number> = {}
const guessing = (i: number): Caller => {
  let count = 0
  return {
    next: () => ({
      method: 'POST',
      path: '/token',
      headers,
      body: `grant_type=password&username=user-${i}-${count++}&password=guessed`,
    }),
    answered: status => {
      statuses[status] = (statuses[status] ?? 0) + 1
    },
  }
}
const callers = Array.from({ length: connections }, (_, i) => guessing(i))
const { p50, seconds: took } = await load(url, callers, seconds)
parentPort?.postMessage({ statuses, p50, seconds: took })
