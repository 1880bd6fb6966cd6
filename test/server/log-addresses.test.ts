import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { openLog } from '../../src/record/log.ts'
import { clientSecretLimit, strangersLimit } from '../../src/users/guess-limits.ts'
import { startServer, type TestClient } from '../helpers/server.ts'

const filter = readFileSync(join(import.meta.dirname, '../../deploy/fail2ban/mintmark.conf'), 'utf8')
const [, failregex = ''] = /^failregex = (.*)$/m.exec(filter) ?? []
/** fail2ban's own pattern of an address is longer, and takes the same ones. */
const banned = new RegExp(failregex.replace('<ADDR>', '([0-9a-fA-F:.]+)'))

t.test(
  "a guess has its address in the log, where fail2ban's filter finds it, and nothing that was typed",
  async t => {
    const server = await startServer(t, { MINTMARK_TRUST_PROXY: '10.0.0.1' })
    const spa = await server.client('spa', { isPublic: true })
    const web = await server.client('web')
    const forwarding = await server.client('forwarding', { forwards_user_address: 1 })
    const user = await server.user()
    const lines: string[] = []
    const app = buildApp({ ...server.ctx, log: openLog('info', { write: line => void lines.push(line) }) })
    t.teardown(() => app.close())

    const typed = 'Tr0ub4dor","event":"log_in_failed","address":"6.6.6.6'
    const right = { username: user.username, password: user.password }
    const wrong = { ...right, password: typed }
    type Request = {
      form: Record<string, string>
      from: string
      url?: string
      headers?: Record<string, string>
    }
    const send = ({ form, from, url = '/token', headers = {} }: Request) => {
      const request: InjectOptions = { method: 'POST', url, payload: new URLSearchParams(form).toString() }
      const type = { 'content-type': 'application/x-www-form-urlencoded' }
      return app.inject({ ...request, remoteAddress: from, headers: { ...type, ...headers } })
    }
    const logIn = (client: TestClient, form: Record<string, string>) => ({
      grant_type: 'password',
      ...form,
      ...client.form,
    })
    const withSecret = (client_id: string) => ({
      grant_type: 'client_credentials',
      client_id,
      client_secret: typed,
    })
    const forwarded = (address: string) => ({ forwarded: `for="${address}"` })
    const proxied = (field: string) => ({ 'x-forwarded-for': field })
    const jwt = { accept: 'application/token-introspection+jwt' }

    type Case = [title: string, request: Request, status: number, address?: string, event?: string]
    const cases: Case[] = [
      ['a wrong password', { form: logIn(spa, wrong), from: '192.0.2.1' }, 400, '192.0.2.1', 'log_in_failed'],
      ['of IPv6', { form: logIn(spa, wrong), from: '2001:db8::1' }, 400, '2001:db8::1', 'log_in_failed'],
      [
        'through a proxy',
        { form: logIn(spa, wrong), from: '10.0.0.1', headers: proxied('6.6.6.6, 192.0.2.9:5000') },
        400,
        '192.0.2.9',
        'log_in_failed',
      ],
      [
        'an unknown user',
        { form: logIn(spa, { ...wrong, username: typed }), from: '192.0.2.2' },
        400,
        '192.0.2.2',
        'log_in_failed',
      ],
      [
        'through a client that forwards',
        { form: logIn(forwarding, wrong), from: '198.51.100.1', headers: forwarded('192.0.2.3') },
        400,
        '192.0.2.3',
        'log_in_failed',
      ],
      [
        'through one that does not, which is banned for nobody',
        { form: logIn(web, wrong), from: '198.51.100.1', headers: forwarded('192.0.2.3') },
        400,
      ],
      ['a wrong secret', { form: withSecret('web'), from: '192.0.2.4' }, 401, '192.0.2.4', 'client_refused'],
      [
        'a wrong secret at another endpoint',
        { form: { token: 'x', ...withSecret('web') }, from: '192.0.2.4', url: '/revoke' },
        401,
        '192.0.2.4',
        'client_refused',
      ],
      [
        'a wrong secret, answered as RFC 9701 wants it',
        { form: { token: 'x', ...withSecret('web') }, from: '192.0.2.5', url: '/introspect', headers: jwt },
        400,
        '192.0.2.5',
        'client_refused',
      ],
      [
        'a client that there is not',
        { form: withSecret(typed), from: '192.0.2.6' },
        401,
        '192.0.2.6',
        'client_refused',
      ],
      ['a right password', { form: logIn(spa, right), from: '192.0.2.7' }, 200],
      [
        'no good refresh token',
        { form: { grant_type: 'refresh_token', refresh_token: typed, ...spa.form }, from: '192.0.2.7' },
        400,
      ],
      ['no address of ours', { form: {}, from: '192.0.2.7', url: `/${encodeURIComponent(typed)}` }, 404],
      ['no URL', { form: {}, from: '10.0.0.1', url: '/%zz', headers: proxied(typed) }, 400],
    ]
    for (const [title, request, status, address, event] of cases) {
      lines.length = 0
      t.equal((await send(request)).statusCode, status, title)
      const found = lines.map(line => banned.exec(line)?.[1]).filter(found => found !== undefined)
      t.strictSame(found, address === undefined ? [] : [address], `${title}: who is found`)
      t.equal(lines.length, status === 200 ? 0 : 1, `${title}: one line`)
      if (event !== undefined) t.match(JSON.parse(lines[0] ?? '{}'), { event, address, level: 30 }, title)
      for (const line of lines) t.notMatch(line, /Tr0ub4dor|6\.6\.6\.6/, `${title}: nothing that was typed`)
    }

    // A guesser who goes on when told to wait is found too.
    for (const [form, limit, event] of [
      [logIn(spa, { ...wrong, username: 'ben' }), strangersLimit.points, 'log_in_throttled'],
      [withSecret('forwarding'), clientSecretLimit.points, 'client_throttled'],
    ] as const) {
      const guess = { username: 'ben', source: undefined, device: undefined }
      for (let i = 0; i < limit; i++) {
        const attempt = await server.ctx.users.throttle.take(guess, async () => true)
        if (attempt.kind === 'taken') attempt.fail()
        server.ctx.users.throttle.countWrongCredentials('forwarding')
      }
      lines.length = 0
      t.equal((await send({ form, from: '192.0.2.8' })).statusCode, 429)
      t.equal(banned.exec(lines.join(''))?.[1], '192.0.2.8', event)
      t.match(JSON.parse(lines[0] ?? '{}'), { event })
    }
  },
)

t.test('every refusal says in the log which address it was for', async t => {
  const server = await startServer(t)
  const request = (options: InjectOptions) =>
    server.request({ remoteAddress: '::ffff:192.0.2.1', ...options })
  await request({ url: '/nothing' })
  await request({ url: '/%zz' })
  await request({ method: 'POST', url: '/token', payload: 'x' })
  await request({ method: 'POST', url: '/global-token-revocation', headers: { authorization: 'Bearer x' } })
  const refused = server.log.filter(line => 'error' in line)
  t.strictSame(
    refused.map(({ status, address }) => [status, address]),
    [404, 400, 415, 401].map(status => [status, '192.0.2.1']),
  )
})
