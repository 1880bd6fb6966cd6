import { setTimeout } from 'node:timers/promises'

/** Lets others have their turn, for so many milliseconds. */
export async function pause(milliseconds: number): Promise<void> {
  await setTimeout(milliseconds)
}
