/**
 * All that a process of a test gets of our environment: where programs are, and where Node.js keeps what it
 * has compiled, without which it starts half a second later. A server is one process, unless a test wants
 * more.
 */
export const bareEnv: Readonly<Record<string, string>> = {
  MINTMARK_WORKERS: '1',
  ...Object.fromEntries(
    ['PATH', 'NODE_COMPILE_CACHE'].flatMap(name => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  ),
}
