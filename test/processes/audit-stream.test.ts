import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { EventSource } from 'eventsource'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { postgresEnv, type EngineEnv } from '../helpers/engines.ts'
import { freePort } from '../helpers/free-port.ts'

for (const [engine, emptyEnv] of [
  ['SQLite, started again', async (): Promise<EngineEnv> => ({})],
  ['PostgreSQL, with another instance', postgresEnv],
] as const) {
  t.test(
    `a server that is killed costs its listeners no entry, and tells none twice (${engine})`,
    async t => {
      const env = await emptyEnv()
      const cli = commandLine(t)
      const isShared = env['MINTMARK_DATABASE_URL'] !== undefined
      if (isShared) await cli.call('key new-root', { env })
      await cli.call('db migrate', { env })
      const created = await cli.call(
        'client create --id ops --admin --grant client_credentials --scope admin:read --json',
        { env },
      )
      const { client_secret } = created.json()
      const names: string[] = []
      const add = async (count: number) => {
        for (let i = 0; i < count; i++) {
          const uri = `https://api-${names.length}.example`
          names.push(uri)
          const { code, stderr } = await cli.call(`resource create ${uri} --scope read`, { env })
          if (code !== 0) throw new Error(stderr)
        }
      }
      const port = String(await freePort())
      const first = await cli.serve({ ...env, MINTMARK_PORT: port })
      const second = isShared ? await cli.serve(env) : undefined
      const form = { grant_type: 'client_credentials', client_id: 'ops', client_secret, scope: 'admin:read' }
      const { body } = await first.post('/token', form)
      let origin = first.url

      const source = new EventSource('http://mintmark.example/admin/v1/audit/stream?event=resource_created', {
        fetch: (url, init) =>
          fetch(String(url).replace('http://mintmark.example', origin), {
            ...init,
            headers: { ...init.headers, authorization: `Bearer ${body.access_token}` },
          }),
      })
      t.teardown(() => source.close())
      const told: string[] = []
      source.addEventListener('message', ({ data }: { readonly data: string }) => {
        told.push(JSON.parse(data).detail.uri)
      })
      await new Promise(resolve => source.addEventListener('open', resolve, { once: true }))
      const all = async () => {
        while (told.length < names.length) await sleep(20)
      }
      await add(3)
      await all()
      // Some of these are on their way when it dies.
      await add(3)
      first.process.kill('SIGKILL')
      await once(first.process, 'close')
      await add(3)
      if (second) origin = second.url
      else await cli.serve({ ...env, MINTMARK_PORT: port })
      await add(3)
      await all()
      await sleep(1500)
      t.strictSame(told, names)
    },
  )
}

t.test('a server that is told to end does not wait for its streams', async t => {
  const cli = commandLine(t)
  await cli.call('db migrate')
  const created = await cli.call(
    'client create --id ops --admin --grant client_credentials --scope admin:read --json',
  )
  const { client_secret } = created.json()
  const server = await cli.serve({ MINTMARK_DRAIN: '0' })
  const form = { grant_type: 'client_credentials', client_id: 'ops', client_secret, scope: 'admin:read' }
  const { body } = await server.post('/token', form)
  const answer = await fetch(`${server.url}/admin/v1/audit/stream`, {
    headers: { authorization: `Bearer ${body.access_token}` },
  })
  const began = Date.now()
  server.process.kill('SIGTERM')
  t.match(await answer.text(), /: this server is about to end: come back\n\n$/)
  const [code] = await once(server.process, 'close')
  t.equal(code, 0)
  t.ok(Date.now() - began < 8000, 'and not when its patience has come to an end')
})
