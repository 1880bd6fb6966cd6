import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where a process of this machine listens; on Linux a name that is free again as soon as it ends. */
export function localAddress(name: string): string {
  if (process.platform === 'linux') return `\0${name}`
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), name)
}
