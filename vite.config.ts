import { join } from 'node:path'
import { defineConfig } from 'vite'

/*
 * Makes the program of its sources: a few files, for Node.js takes longer to find and read the seven hundred
 * that it is written in than to run them. It is not minified, so that a stack trace can be read.
 */
const root = import.meta.dirname

export default defineConfig({
  root,
  publicDir: false,
  logLevel: 'warn',
  // The one dependency that is as many files as we are. All others are what npm installs.
  ssr: { noExternal: ['kysely'] },
  build: {
    ssr: true,
    outDir: 'dist',
    emptyOutDir: true,
    target: 'esnext',
    minify: false,
    // Of what is not ours in these files.
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // The second one is run by a thread, which finds it beside the first.
      input: ['src/main.ts', 'src/factors/registration-thread.ts'].map(source => join(root, source)),
      output: { entryFileNames: '[name].js', chunkFileNames: 'part-[hash].js' },
    },
  },
})
