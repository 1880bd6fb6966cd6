import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readInstallation } from '../../db/installation/installation.ts'
import { findRootKeyUse } from '../../db/keys/root-keys.ts'
import { findStream, listStreamsUnderOlderKeys, resealStream } from '../../db/push/streams.ts'
import { checkRootKeys } from '../../src/admin/doctor/root-keys.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { readRootKeys } from '../../src/keys/root/root-key.ts'
import { rotateRootKey } from '../../src/keys/root/root-rotation.ts'
import { openAuthorization, sealAuthorization } from '../../src/streams/authorization.ts'
import { byCommand } from '../helpers/by-command.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { deliver, toLoopback } from '../helpers/receivers.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'
import { orders, push, streamWorld } from '../helpers/streams.ts'

const secret = 'Bearer 4d1c8ff0ae'

/** Of two streams one is pushed with an `Authorization`; the root key was rotated since. */
async function rotatedWorld(...[t, env]: Parameters<typeof streamWorld>) {
  const w = await streamWorld(t, env)
  const { server, receivers } = w
  const { ctx } = server
  const receiver = await w.receiver('orders', orders)
  await w.pushTo(receiver, '/bare')
  const id = await w.pushTo(receiver, '/orders')
  const delivery = { method: push, endpoint_url: `${receivers.origin}/orders`, authorization_header: secret }
  const changed = await receiver.ask('PATCH', '/ssf/streams', { stream_id: id, delivery })
  t.equal(changed.statusCode, 200)
  // As the command does, in another process: the servers hear of it when they look.
  const { from, to } = await rotateRootKey({
    by: byCommand(ctx),
    rootKeys: readRootKeys(ctx.config),
    file: ctx.config,
  })
  const stream = async () => {
    const found = await findStream(ctx.db, Buffer.from(id.replaceAll('-', ''), 'hex'))
    if (!found) throw new Error('the stream is gone')
    return found
  }
  return { ...w, from, to, stream }
}

const look = ({ jobs }: TestServer) => runJob({ jobs }, 'looking after streams')

/** The text of a key of the file, by its id. */
const keyOf = (file: string, id: string): string =>
  new RegExp(`^# root key ${id}\\n([\\w-]{43})$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? ''

await forEachEngine(
  t,
  'the Authorization of pushes outlives the root key that it was sealed under',
  async (t, env) => {
    const { server, from, to, stream, ...w } = await rotatedWorld(t, env)
    const { ctx } = server
    const sent = () => w.receivers.at('/orders').at(-1)?.request.headers.authorization
    const use = () => findRootKeyUse(ctx.db, { id: from, until: ctx.clock.now(), now: ctx.clock.now() })
    const doctor = async () => {
      const admin = servedAdmin(ctx, { actor: { kind: 'server' }, isLimited: false }, ctx.log)
      const installation = await readInstallation(ctx.db)
      const showProgress = () => ({ at: () => {}, end: () => {} })
      const findings = await checkRootKeys({ ...admin, installation }, { ...ctx, showProgress })
      return findings.map(({ text }) => text).join()
    }
    await look(server)
    t.match([await stream(), await use()], [{ root_key_id: from }, { streams: 1 }], 'not heard of it yet')
    await server.follow()
    await w.endOne()
    await w.arrived('/orders')
    t.equal(sent(), secret, 'the older key opens it')
    const needs = `the older root key ${from} is needed by 1 stream, until a server has run`
    t.equal(await doctor(), needs)

    await look(server)
    t.match([await stream(), await use()], [{ root_key_id: to }, { streams: 0 }], 'sealed anew')
    const resealed = await stream()
    t.notMatch(await doctor(), 'stream')
    await look(server)
    t.strictSame(await stream(), resealed, 'once')

    // A server that has the newer key alone.
    const file = join(t.testdir({}), 'root.key')
    writeFileSync(file, `${keyOf(ctx.config.rootKeyFile, to)}\n`, { mode: 0o600 })
    const later = await startServer(t, {
      ...besideEnv(server),
      ...toLoopback,
      MINTMARK_ROOT_KEY_FILE: file,
    })
    const before = w.receivers.at('/orders').length
    await w.endOne()
    await deliver(later)
    t.equal(w.receivers.at('/orders').length, before + 1)
    t.equal(sent(), secret)
    t.equal(w.receivers.at('/bare').at(-1)?.request.headers.authorization, undefined, 'and none without one')
  },
)

await forEachEngine(t, 'what a server sets while another one seals anew is kept', async (t, env) => {
  const { server, from, to, stream } = await rotatedWorld(t, env)
  const { db, rootKeys } = server.ctx
  // This one has not heard of the newer key: it seals under the older one still.
  const newer = readRootKeys(server.ctx.config)
  newer.follow(to)
  const [seen] = await listStreamsUnderOlderKeys(db, to)
  t.equal(seen?.root_key_id, from)
  if (!seen) return
  const set = sealAuthorization(rootKeys, seen.id, 'Bearer another')
  await db.sql.updateTable('streams').set(set).where('id', '=', seen.id).execute()
  const resealed = sealAuthorization(newer, seen.id, openAuthorization(newer, seen))
  await resealStream(db, seen, resealed)
  t.equal(openAuthorization(newer, await stream()), 'Bearer another')
  const again = await stream()
  await resealStream(db, again, sealAuthorization(newer, again.id, openAuthorization(newer, again)))
  t.match(await stream(), { root_key_id: to })
  t.equal(openAuthorization(newer, await stream()), 'Bearer another')
})
