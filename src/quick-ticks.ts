import { executionAsyncResource } from 'node:async_hooks'
import process from 'node:process'

/** An object of those that `process.nextTick` makes. */
const kept: object[] = []

/**
 * Keeps `process.nextTick` quick, which Node.js calls six times for each request. It makes an object each
 * time. Where a collection finds none of them alive, as one soon after the start does, V8 forgets what they
 * look like, and from then on makes each in a way that takes five times as long. So one stays alive. To be
 * called first of all.
 */
export function keepTicksQuick(): void {
  process.nextTick(() => {
    kept[0] = executionAsyncResource()
  })
}
