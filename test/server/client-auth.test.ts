import t from 'tap'
import { changeClient, disableClient, enableClient } from '../../db/clients/clients.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import { isOAuthError, startServer, testClient } from '../helpers/server.ts'

/** A request that each endpoint answers with 200 once the client is authenticated. */
const requests: [path: string, form: Record<string, string>][] = [
  ['/token', { grant_type: 'client_credentials' }],
  ['/introspect', { token: 'x' }],
  ['/revoke', { token: 'x' }],
]

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const percentEncode = (text: string) => [...Buffer.from(text)].map(byte => `%${byte.toString(16)}`).join('')

t.test(
  'a client with a secret is authenticated by Basic or by the body, at each endpoint (C-1 to C-5, D-4)',
  async t => {
    const server = await startServer(t)
    const web = await server.client('web')
    const long = await server.client('x'.repeat(255))
    const odd = testClient('a:b c%+', 's%e:c+r&e=t ')
    await server.client(odd.id, { secret_hash: hashSecret(odd.secret ?? '') })
    const { id, secret = '', headers, form } = web

    const cases: [title: string, authorization: string | undefined, body: Record<string, string>][] = [
      ['C-1 Basic', headers.authorization, {}],
      ['C-1 the scheme in any case', headers.authorization?.replace('Basic', 'bAsIc'), {}],
      ['C-1 the scheme and many spaces', headers.authorization?.replace(' ', '   '), {}],
      ['C-2 every character encoded', basic(`${percentEncode(id)}:${percentEncode(secret)}`), {}],
      ['C-2 an id and a secret that must be encoded', odd.headers.authorization, {}],
      ['C-2 plus for a space', basic('a%3Ab+c%25%2B:s%25e%3Ac%2Br%26e%3Dt+'), {}],
      ['C-2 a colon in the secret', basic('a%3Ab+c%25%2B:s%25e:c%2Br%26e%3Dt+'), {}],
      ['C-3 the body', undefined, form],
      ['C-3 the body, with characters that must be encoded', undefined, odd.form],
      ['C-4 Basic, and the same client_id in the body', headers.authorization, { client_id: id }],
      [
        'P-1 Basic, and empty parameters in the body',
        headers.authorization,
        { client_id: '', client_secret: '' },
      ],
      ['C-14 a client_id of 255 characters', long.headers.authorization, {}],
      ['an empty assertion', headers.authorization, { client_assertion: '', client_assertion_type: '' }],
    ]
    for (const [path, request] of requests) {
      for (const [title, authorization, body] of cases) {
        const { statusCode } = await server.post(path, { ...request, ...body }, { authorization })
        t.equal(statusCode, 200, `${title} at ${path}`)
      }
    }
  },
)

t.test(
  'Basic credentials that cannot be read are called malformed, so that somebody can mend them',
  async t => {
    const server = await startServer(t)
    for (const text of ['no-colon', 'a:%', '%:b']) {
      const { body } = await server.post('/token', { grant_type: 'password' }, { authorization: basic(text) })
      t.match(body, /malformed/, text)
    }
  },
)

t.test('a public client names itself, and that is no authentication (C-7, I-8)', async t => {
  const server = await startServer(t)
  const { form } = await server.client('app', { isPublic: true })
  for (const [title, authorization, body] of [
    ['in the body', undefined, form],
    ['in a Basic header without a secret', basic('app:'), {}],
    ['in both', basic('app:'), form],
  ] as const) {
    const revocation = await server.post('/revoke', { token: 'x', ...body }, { authorization })
    t.equal(revocation.statusCode, 200, `${title}: it may revoke`)
    const introspection = await server.post('/introspect', { token: 'x', ...body }, { authorization })
    isOAuthError(t, introspection, 401, 'invalid_client', `${title}: it may not introspect`)
  }
})

t.test(
  'whoever is not authenticated for sure is refused, at each endpoint (C-4 to C-10, D-5, D-10, P-9, V-3, I-3)',
  async t => {
    const server = await startServer(t)
    const { id, secret = '', headers, form } = await server.client('web')
    const other = await server.client('other')
    const app = await server.client('app', { isPublic: true })
    const disabled = await server.client('disabled', { disabled_at: 1 })
    const disabledApp = await server.client('disabled-app', { isPublic: true, disabled_at: 1 })
    const { authorization } = headers
    // PostgreSQL could not even store a NUL, nor must it be asked for one.
    const impossible = testClient('web\0', 'x'.repeat(43))
    const unlikely = await Promise.all(['w\u00e9b', 'web\n', 'x'.repeat(256)].map(id => server.client(id)))
    const assertion = {
      client_assertion: 'a.b.c',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    }
    const body = (client_id: string, client_secret?: string) => ({
      client_id,
      ...(client_secret && { client_secret }),
    })

    const cases: (readonly [
      title: string,
      authorization: string | undefined,
      body: Record<string, string>,
      code?: string,
    ])[] = [
      ['C-5 nothing', undefined, {}],
      ['P-1 C-5 an empty client_id', undefined, { client_id: '', client_secret: secret }],
      ['a secret without a client_id', undefined, { client_secret: secret }],
      ['C-8 an unknown client', undefined, body('nobody')],
      ['C-8 an unknown client with a secret', undefined, body('nobody', secret)],
      ['C-8 an unknown client by Basic', basic(`nobody:${secret}`), {}],
      ['C-7 C-8 a client_id alone', undefined, body(id)],
      ['P-1 C-8 an empty secret', undefined, { client_id: id, client_secret: '' }],
      ['C-8 an empty secret by Basic', basic(`${id}:`), {}],
      ['C-8 a wrong secret', undefined, body(id, `${secret}x`)],
      ['C-8 a wrong secret by Basic', basic(`${id}:${secret}x`), {}],
      ['C-8 the beginning of the secret', undefined, body(id, secret.slice(0, -1))],
      ["C-8 another client's secret", undefined, body(id, other.secret)],
      ['C-8 the hash of the secret', undefined, body(id, hashSecret(secret).toString('base64url'))],
      ['C-8 the client_id in another case', undefined, body('WEB', secret)],
      ['C-6 a public client with a secret', undefined, body(app.id, secret)],
      ['C-6 a public client with a secret by Basic', basic(`${app.id}:${secret}`), {}],
      ['a disabled client with its secret', undefined, disabled.form],
      ['a disabled client with its secret by Basic', disabled.headers.authorization, {}],
      ['a disabled public client', undefined, disabledApp.form],
      ['C-1 Basic without anything', 'Basic', {}],
      ['C-1 Basic with spaces', 'Basic  ', {}],
      ['C-1 what is not base64', `Basic ${id}:${secret}`, {}],
      ['C-1 base64 and more', `${authorization}, Basic x`, {}],
      ['C-1 no colon', basic(`${id}${secret}`), {}],
      ['C-1 no client_id', basic(`:${secret}`), {}],
      ['D-12 P-7 a malformed percent sequence', basic(`${id}:%`), {}],
      ['D-12 P-7 bytes that are not UTF-8', basic(`${id}:%ff`), {}],
      ['C-8 another scheme', `Digest ${authorization?.slice(6)}`, {}],
      ['C-8 a scheme that begins the same', `Basically ${authorization?.slice(6)}`, {}],
      ['C-6 a broken header beside good credentials', 'Basic', form],
      ['an empty header', '', form],
      ...[...unlikely, impossible].map(
        ({ form }) => ['P-9 a client_id that no client may have', undefined, form] as const,
      ),
      ['P-9 a client_id with an encoded line feed', basic(`web%0A:${secret}`), {}],
      ['P-14 a name of the prototype', undefined, body('__proto__', secret)],
      ['D-5 an assertion', undefined, { ...assertion, client_id: id }],
      ['D-5 an assertion beside Basic', authorization, assertion],
      ['D-5 an assertion beside a secret', undefined, { ...form, ...assertion }],
      ['D-5 C-4 Basic and a secret in the body', authorization, form, 'invalid_request'],
      ['D-5 C-4 Basic without a secret, and one in the body', basic(`${id}:`), form, 'invalid_request'],
      ['C-4 Basic and another client_id', authorization, body('other'), 'invalid_request'],
      ['P-3 two client_ids', authorization, { client_id: `${id}&client_id=${id}` }, 'invalid_request'],
    ]
    for (const [path, request] of requests) {
      for (const [title, authorization, body, code = 'invalid_client'] of cases) {
        const form = new URLSearchParams({ ...request, ...body })
          .toString()
          .replace('%26client_id%3D', '&client_id=')
        const response = await server.request({
          method: 'POST',
          url: path,
          payload: form,
          headers: {
            'content-type': 'application/x-www-form-urlencoded',
            ...(authorization !== undefined && { authorization }),
          },
        })
        const status = code === 'invalid_client' ? 401 : 400
        isOAuthError(t, response, status, code, `${title} at ${path}`)
        if (status === 401)
          t.equal(response.headers['www-authenticate'], 'Basic realm="https://as.example"', 'C-9 C-10')
      }
      const bearer = await server.post(path, request, { authorization: 'Bearer x.y.z' })
      isOAuthError(t, bearer, 401, 'invalid_client', `C-9 I-3 a bearer token at ${path}`)
      t.equal(bearer.headers['www-authenticate'], 'Bearer realm="https://as.example", error="invalid_token"')
    }
  },
)

t.test(
  'C-8 an unknown client, a wrong secret and a disabled client get the same answer; the log knows better',
  async t => {
    const server = await startServer(t)
    const web = await server.client('web')
    const disabled = await server.client('disabled', { disabled_at: 1 })
    const answers = []
    for (const form of [
      { client_id: 'nobody' },
      { client_id: 'nobody', client_secret: 'x' },
      { ...web.form, client_secret: 'x' },
      { client_id: 'web' },
      disabled.form,
    ]) {
      answers.push((await server.post('/revoke', { token: 'x', ...form })).body)
    }
    t.equal(new Set(answers).size, 1)
    const causes = server.log.filter(line => 'cause' in line).map(line => line['cause'])
    t.strictSame(causes, [
      'the client is unknown',
      'the client is unknown',
      'the client secret is wrong',
      'the client has not sent its secret',
      'the client is disabled',
    ])
  },
)

t.test('the secret before this one stays good until its time is up', async t => {
  const server = await startServer(t)
  const old = await server.client('web')
  const now = testClient('web', 'the-new-secret')
  const statusOf = async (client: typeof old) => (await server.revoke(client, 'x')).statusCode
  t.equal(await statusOf(old), 200)
  await changeClient(server.ctx.db, 'web', {
    secret_hash: hashSecret('the-new-secret'),
    old_secret_hash: hashSecret(old.secret ?? ''),
    old_secret_expires_at: server.ctx.clock.now() + 60,
  })
  t.equal(await statusOf(now), 401, 'not known before the registry has followed')
  await server.follow()
  t.equal(await statusOf(now), 200)
  t.equal(await statusOf(old), 200)
  server.tick(59)
  t.equal(await statusOf(old), 200, 'in its last second')
  server.tick(1)
  t.equal(await statusOf(old), 401, 'and not one later')
  t.equal(await statusOf(now), 200)
})

t.test('a client that is disabled is refused within a follow, and let in again likewise', async t => {
  const server = await startServer(t)
  const web = await server.client('web')
  const statusAfter = async (disabledAt: number | null) => {
    await (disabledAt === null
      ? enableClient(server.ctx.db, 'web')
      : disableClient(server.ctx.db, 'web', disabledAt))
    await server.follow()
    return (await server.revoke(web, 'x')).statusCode
  }
  t.equal(await statusAfter(server.ctx.clock.now()), 401)
  t.equal(await statusAfter(null), 200)
})
