import { spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const unshare = ['--user', '--map-root-user', '--mount']

/** Why there can be no small disk here; false when there can be. */
export const skipSmallDisk =
  process.platform === 'linux' &&
  spawnSync('unshare', [...unshare, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
    ? false
    : 'needs a file system of its own, as unshare makes it'

/** A file system of 8 MiB, that one process alone sees, at this absolute path of an empty directory. */
export function smallDisk(path: string) {
  /** The same place, for others. */
  const seenBy = ({ pid }: ChildProcess, name: string) => join(`/proc/${pid}/root`, path, name)
  return {
    /**
     * What to start Node.js with, before its arguments. The shell's script runs on the disk, and ends in
     * `exec "$@"`.
     */
    start: (script: string): readonly string[] => [
      'unshare',
      ...unshare,
      'sh',
      '-ec',
      `mount -t tmpfs -o size=8m none '${path}'; cd '${path}'; ${script}`,
      'sh',
      process.execPath,
    ],
    /** Leaves no room at all. */
    fill: (child: ChildProcess) => {
      for (const bytes of [1024 * 1024, 4096, 1]) {
        try {
          for (;;) writeFileSync(seenBy(child, 'filler'), Buffer.alloc(bytes), { flag: 'a' })
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        }
      }
    },
    free: (child: ChildProcess) => rmSync(seenBy(child, 'filler')),
    read: (child: ChildProcess, name: string) => readFileSync(seenBy(child, name), 'utf8'),
  }
}
