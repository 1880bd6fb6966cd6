import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** In containers it is often too small. */
const leastBytes = 1 << 30

/**
 * Where a file is on the disk at once. Tests commit thousands of times, and would wait for the disk each
 * time; what a crash of a process leaves is the same here.
 */
export const fastFolder = hasRoom('/dev/shm') ? '/dev/shm' : tmpdir()

/** Makes an empty folder, which goes with the test. Each call makes another one, unlike `t.testdir`. */
export function scratchFolder(t: { teardown(work: () => unknown): void }): string {
  const folder = mkdtempSync(join(fastFolder, 'mintmark-'))
  chmodSync(folder, 0o755) // servers of other users run in it too
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize >= leastBytes
  } catch {
    return false // no system but Linux has it
  }
}
