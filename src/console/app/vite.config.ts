import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const out = join(import.meta.dirname, '../../../dist/console')

/** Puts a compressed file beside each other one, so that no request waits for that. */
const compressed: Plugin = {
  name: 'compressed',
  closeBundle: () => {
    const folder = join(out, 'assets')
    for (const name of readdirSync(folder)) {
      const bytes = readFileSync(join(folder, name))
      writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes))
      writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }))
    }
  },
}

export default defineConfig({
  root: import.meta.dirname,
  // The server puts its own path there.
  base: './',
  cacheDir: join(import.meta.dirname, '../../../node_modules/.cache/vite'),
  logLevel: 'warn',
  build: {
    outDir: out,
    emptyOutDir: true,
    // Whatever it is, it is a file: a policy that lets no `data:` in is the simplest one.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2024',
  },
  plugins: [compressed],
})
