import t from 'tap'
import { insertUser } from '../../db/users/users.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { isOAuthError, startServer, type FormInit } from '../helpers/server.ts'

const api = 'https://api.example'
const files = 'https://files.example'

const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

t.test(
  'a request for tokens that is not right is refused with the code that says so, and costs nothing',
  async t => {
    const server = await startServer(t)
    await server.resource(api)
    await server.resource(files, { scope: 'read upload' })
    await server.resource('https://other.example')
    const web = await server.client('web', { resources: `${api} ${files}`, scope: 'read write upload' })
    const app = await server.client('app', { isPublic: true, grant_types: 'password client_credentials' })
    const bare = await server.client('bare', { grant_types: '' })
    const user = await server.user()
    const { username, password } = user
    const { refresh_token } = await server.logIn(web, user)

    const logIn = { grant_type: 'password', username, password }
    const refresh = { grant_type: 'refresh_token', refresh_token }
    const machine = { grant_type: 'client_credentials' }
    const cases: [title: string, form: FormInit, code: string][] = [
      ['P-12 no grant_type', {}, 'invalid_request'],
      ['P-1 P-12 an empty grant_type', { ...logIn, grant_type: '' }, 'invalid_request'],
      ['P-9 a grant_type with a control character', { grant_type: 'password\n' }, 'invalid_request'],
      ['P-1 W-1 an empty username', { ...logIn, username: '' }, 'invalid_request'],
      ['W-1 no username', { grant_type: 'password', password }, 'invalid_request'],
      ['P-1 W-1 an empty password', { ...logIn, password: '' }, 'invalid_request'],
      ['W-1 no password', { grant_type: 'password', username }, 'invalid_request'],
      ['P-8 a username with a NUL', { ...logIn, username: 'ada\0' }, 'invalid_request'],
      ['P-8 a username with a line feed', { ...logIn, username: 'ada\n' }, 'invalid_request'],
      ['P-8 a password with a carriage return', { ...logIn, password: `${password}\r` }, 'invalid_request'],
      ['W-2 a wrong password', { ...logIn, password: `${password}x` }, 'invalid_grant'],
      ['W-2 an unknown user', { ...logIn, username: 'nobody' }, 'invalid_grant'],
      ['W-2 the user name with a space behind it', { ...logIn, username: 'ada ' }, 'invalid_grant'],
      ['W-2 a password of 16,000 characters', { ...logIn, password: 'x'.repeat(16_000) }, 'invalid_grant'],
      ['R-1 no refresh token', { grant_type: 'refresh_token' }, 'invalid_request'],
      ['P-1 R-1 an empty refresh token', { ...refresh, refresh_token: '' }, 'invalid_request'],
      ['R-1 garbage', { ...refresh, refresh_token: 'garbage' }, 'invalid_grant'],
      [
        'P-9 R-1 a refresh token that is not ASCII',
        { ...refresh, refresh_token: `${refresh_token}é` },
        'invalid_grant',
      ],
    ]
    for (const grant_type of [
      'PASSWORD',
      'Refresh_token',
      'implicit',
      'password refresh_token',
      'urn:ietf:params:oauth:grant-type:saml2-bearer',
      'token-exchange',
      '__proto__',
      'constructor',
      'toString',
      'é',
    ]) {
      cases.push([`P-12 P-14 grant_type ${grant_type}`, { ...logIn, grant_type }, 'unsupported_grant_type'])
    }
    for (const [name, request] of Object.entries({ logIn, refresh, machine })) {
      for (const scope of [
        ' ',
        'read  write',
        ' read',
        'read ',
        'read\twrite',
        'read\nwrite',
        '"read"',
        're\\ad',
        'réad',
        'read,write',
        'admin',
        'read admin',
        'READ',
      ]) {
        cases.push([
          `P-10 P-11 T-4 ${name} for scope ${JSON.stringify(scope)}`,
          { ...request, scope },
          'invalid_scope',
        ])
      }
      // Each client has the scope, but no API of its knows both.
      cases.push([
        `J-5 ${name} for scopes of two APIs`,
        { ...request, scope: 'write upload' },
        'invalid_scope',
      ])
      cases.push([
        `J-5 ${name} for a scope of another API`,
        { ...request, scope: 'upload', resource: api },
        'invalid_scope',
      ])
      for (const resource of [
        'api',
        '/api',
        'api.example',
        'https:',
        `${api}#x`,
        `${api}//`,
        `${api}/v1`,
        'HTTPS://API.EXAMPLE',
        'https://other.example',
        'https://unknown.example',
        `${api} ${files}`,
        'web',
        '__proto__',
        'a\0',
        'é',
      ]) {
        cases.push([
          `RI-1 ${name} for resource ${JSON.stringify(resource)}`,
          { ...request, resource },
          'invalid_target',
        ])
      }
      const twice = (...resources: string[]): FormInit => [
        ...Object.entries(request),
        ...resources.map((resource): [string, string] => ['resource', resource]),
      ]
      cases.push([`P-4 RI-1 ${name} for two resources`, twice(api, files), 'invalid_target'])
      cases.push([`P-4 RI-1 ${name} for one resource twice`, twice(api, api), 'invalid_target'])
    }
    for (const [title, form, code] of cases) {
      const response = await server.post('/token', form, web.headers)
      isOAuthError(t, response, 400, code, title)
    }

    for (const [client, request] of [
      [app, machine],
      [app, refresh],
      [bare, logIn],
      [bare, refresh],
      [bare, machine],
    ] as const) {
      const response = await server.post('/token', { ...request, ...client.form })
      isOAuthError(
        t,
        response,
        400,
        'unauthorized_client',
        `C-11 CC-1 ${client.id} and ${request.grant_type}`,
      )
    }
    const unmerged = await server.post(`/token?grant_type=client_credentials`, web.form)
    isOAuthError(t, unmerged, 400, 'invalid_request', 'P-5 a parameter in the URL is none')

    t.ok(await server.refresh(web, refresh_token), 'and after all that, the refresh token is as good as ever')
  },
)

t.test('T-6 no refusal echoes what was sent', async t => {
  const server = await startServer(t)
  const web = await server.client('web')
  const echo = 'echo-echo'
  for (const form of [
    { grant_type: echo },
    { grant_type: 'password', username: echo, password: echo },
    { grant_type: 'refresh_token', refresh_token: echo },
    { grant_type: 'client_credentials', scope: echo },
    { grant_type: 'client_credentials', resource: `https://${echo}` },
    { grant_type: 'client_credentials', client_id: echo },
    [
      ['a', echo],
      ['a', echo],
    ],
    [
      [echo, 'a'],
      [echo, 'a'],
    ],
  ] as FormInit[]) {
    const { statusCode, body, headers } = await server.post('/token', form, web.headers)
    t.equal(statusCode, 400)
    t.notMatch(body + JSON.stringify(headers), echo)
  }
  for (const url of [`/${echo}`, `/%zz${echo}`, `/token?${echo}=${echo}&token=x`]) {
    const { body, headers } = await server.request({ method: 'POST', url })
    t.notMatch(body + JSON.stringify(headers), echo, url)
  }
})

t.test(
  'a success has what RFC 6749 §5.1 wants, and is never cached (T-1 T-2 T-3 T-7 H-4 H-5 R-15)',
  async t => {
    const server = await startServer(t)
    const web = await server.client('web', { scope: 'b a' })
    const user = await server.user()
    const { username, password } = user
    const logIn = await server.post('/token', { grant_type: 'password', username, password, ...web.form })
    const { refresh_token } = logIn.json()
    const refresh = await server.post('/token', { grant_type: 'refresh_token', refresh_token, ...web.form })
    const machine = await server.post('/token', { grant_type: 'client_credentials', ...web.form })
    for (const response of [logIn, refresh, machine]) {
      t.equal(response.statusCode, 200)
      t.match(response.headers, {
        'content-type': /^application\/json/,
        'cache-control': 'no-store',
        pragma: 'no-cache',
      })
      t.match(response.json(), {
        access_token: /^[\x20-\x7e]+$/,
        token_type: 'Bearer',
        expires_in: 300,
        scope: 'b a',
      })
      const { exp, iat } = claimsOf(response.json().access_token)
      t.equal(exp - iat, 300)
    }
    for (const response of [logIn, refresh]) {
      t.match(response.json(), {
        refresh_token: /^mm_rt_[\x20-\x7e]+$/,
        refresh_token_timeout: 30 * 86_400,
        authorization_expires_in: 180 * 86_400,
      })
    }
    t.notOk('refresh_token' in machine.json(), 'CC-2')
  },
)

t.test('what is sent but not known, or empty, changes nothing (P-1 P-2)', async t => {
  const server = await startServer(t)
  await server.resource(api)
  const web = await server.client('web', { resources: api })
  const response = await server.post('/token', {
    ...{ grant_type: 'client_credentials', scope: '', resource: '', code: '', foo: 'bar', __proto__x: 'y' },
    ...{ audience: 'x', refresh_token: 'x', username: 'x', 'a[b]': 'c', state: 'é\n' },
    ...web.form,
  })
  t.match(response.json(), { scope: 'read write' })
})

t.test('P-6 P-8 a user name and a password are any Unicode', async t => {
  const server = await startServer(t)
  const web = await server.client('web')
  const username = 'Ædä +%&=\t€😀'
  const password = ' pä ss+1 %&+£€ '
  const hash = await server.ctx.users.passwords.hash(password)
  const id = newUuid(server.ctx.clock.now())
  await insertUser(server.ctx.db, {
    id,
    username: username.normalize('NFC'),
    ...hash,
    roles: '',
    epoch: 0,
    created_at: 1,
    disabled_at: null,
  })
  for (const [title, form] of [
    ['as NFC', username.normalize('NFC')],
    ['as NFD', username.normalize('NFD')],
  ] as const) {
    const encoded = await server.post('/token', {
      grant_type: 'password',
      username: form,
      password,
      ...web.form,
    })
    t.equal(encoded.statusCode, 200, title)
  }
  const raw = await server.request({
    method: 'POST',
    url: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...web.headers },
    payload: `grant_type=password&username=Ædä+%2B%25%26%3D%09€😀&password= pä ss%2B1 %25%26%2B£€ `,
  })
  t.equal(raw.statusCode, 200, 'and clients that do not encode what they should are understood')
})

t.test('RI-2 RI-3 RI-4 P-11 a token is for one API, with what that API knows of the scope', async t => {
  const server = await startServer(t)
  await server.resource(api)
  await server.resource(files, { scope: 'read upload' })
  const web = await server.client('web', { resources: `${api} ${files}`, scope: 'read write upload' })
  const user = await server.user()
  const cases: [title: string, form: Record<string, string>, aud: string, scope: string][] = [
    ['T-3 nothing asked: the first API, and all it knows', {}, api, 'read write'],
    ['J-6 another API', { resource: files }, files, 'read upload'],
    ['a scope of both', { scope: 'read' }, api, 'read'],
    ['P-11 in any order, any number of times', { scope: 'write read write' }, api, 'write read'],
    ['J-5 a scope that only the other one knows', { scope: 'upload' }, files, 'upload'],
    ['less of one', { scope: 'read', resource: files }, files, 'read'],
  ]
  for (const [title, form, aud, scope] of cases) {
    const machine = await server.post('/token', { grant_type: 'client_credentials', ...form, ...web.form })
    const logIn = await server.logIn(web, user, form)
    for (const tokens of [machine.json(), logIn]) {
      t.equal(tokens.scope, scope, `${title}: T-2`)
      const claims = claimsOf(tokens.access_token)
      t.strictSame([claims.aud, claims.scope], [aud, scope], title)
    }
  }

  let { refresh_token } = await server.logIn(web, user)
  for (const [title, form, aud, scope] of cases) {
    const tokens = await server.refresh(web, refresh_token, form)
    t.strictSame(
      [claimsOf(tokens.access_token).aud, tokens.scope],
      [aud, scope],
      `RI-3 R-4 at a refresh: ${title}`,
    )
    refresh_token = tokens.refresh_token
  }

  const bound = await server.logIn(web, user, { resource: files })
  const wider = {
    grant_type: 'refresh_token',
    refresh_token: bound.refresh_token,
    resource: api,
    ...web.form,
  }
  isOAuthError(
    t,
    await server.post('/token', wider),
    400,
    'invalid_target',
    'R-5 a session for one API stays there',
  )
  t.equal(claimsOf((await server.refresh(web, bound.refresh_token)).access_token).aud, files)

  const narrow = await server.logIn(web, user, { scope: 'read' })
  const more = {
    grant_type: 'refresh_token',
    refresh_token: narrow.refresh_token,
    scope: 'read write',
    ...web.form,
  }
  isOAuthError(
    t,
    await server.post('/token', more),
    400,
    'invalid_scope',
    'R-3 and a session with less scope gets no more',
  )
  t.equal((await server.refresh(web, narrow.refresh_token)).scope, 'read')
})
