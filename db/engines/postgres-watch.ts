import type pg from 'pg'
import type { Primary } from './postgres-primary.ts'

/**
 * Hears from the database that other processes have changed something. It may miss some: so look from time to
 * time too.
 */
export interface Watch {
  /** Listens, if it does not yet, or not any more. Rejects when it cannot. */
  keep(): Promise<void>
  close(): Promise<void>
}

/** The channel that the triggers of the first migration notify. */
const channel = 'mintmark'

/**
 * Calls `wake` after each change, and whenever some may have been missed. Holds one connection, beside the
 * pool.
 */
export function watchPostgres(primary: Primary, wake: () => void): Watch {
  let listening: Promise<pg.Client> | undefined
  const listen = async () => {
    const client = await primary.connectAlone()
    try {
      client.on('notification', () => wake())
      client.once('end', () => {
        listening = undefined
      })
      await client.query(`listen ${channel}`)
      return client
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
  }
  return {
    keep: async () => {
      if (listening) return void (await listening)
      listening = listen()
      try {
        await listening
        wake()
      } catch (error) {
        listening = undefined
        throw error
      }
    },
    close: async () => {
      const client = await listening?.catch(() => undefined)
      await client?.end().catch(() => {})
    },
  }
}

/** For a database that tells nothing: an embedded one, or one behind a pooler in transaction mode. */
export const noWatch: Watch = { keep: async () => {}, close: async () => {} }
