import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { algorithms, type Algorithm } from '../../src/keys/algorithms.ts'

/*
 * Who imports this has RSA keys that other test files have made, and so keeps: to make one takes as long as
 * all else that a server's start does. They are made by the code under test, anew whenever that has changed,
 * and no process gets the same one twice.
 */

const source = readFileSync(join(import.meta.dirname, '../../src/keys/algorithms.ts'))
const version = createHash('sha256').update(source).digest('hex').slice(0, 16)

/** Beside what npm has installed, and gone with it. */
const folder = join(import.meta.dirname, `../../node_modules/.cache/mintmark-rsa-${version}`)

for (const alg of ['RS256', 'PS256']) keep(alg, algorithms.get(alg))

function keep(alg: string, algorithm: Algorithm | undefined): void {
  if (!algorithm) throw new Error(`unreachable: ${alg} is one of ours`)
  const make = algorithm.generate
  let taken = 0
  algorithm.generate = async () => {
    const file = join(folder, `${alg}-${taken++}.pem`)
    const kept = read(file)
    if (kept !== undefined) {
      const privateKey = createPrivateKey(kept)
      return { privateKey, publicKey: createPublicKey(privateKey) }
    }
    const made = await make()
    mkdirSync(folder, { recursive: true })
    // Another process may be as far, and reads one or the other.
    writeFileSync(`${file}-${process.pid}`, made.privateKey.export({ format: 'pem', type: 'pkcs8' }))
    renameSync(`${file}-${process.pid}`, file)
    return made
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined // the first to come this far makes it
  }
}
