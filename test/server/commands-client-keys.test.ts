import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { openDatabase } from '../../db/open-database.ts'
import { commandLine } from '../helpers/cli.ts'
import { testKey } from '../helpers/proofs.ts'

const api = 'https://api.example'
const job = '--grant client_credentials'

t.test('clients that have keys or certificates instead of a secret', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call(`resource create ${api} --scope read`)
  const rowOf = async (id: string) => {
    const db = openDatabase({ engine: 'sqlite', file: join(home, 'db/mintmark.sqlite') })
    const row = await findClient(db, id)
    await db.close()
    return row
  }
  const put = (name: string, value: unknown) => {
    const file = join(home, name)
    writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
    return file
  }
  const [one, two] = [await testKey(), await testKey('Ed25519')]
  const set = put('set.json', { keys: [one.publicJwk, two.publicJwk] })
  const single = put('one.json', one.publicJwk)
  const nowhere = 'http://127.0.0.1:1/jwks.json'

  t.test('are created by what they are given', async t => {
    const cases: [id: string, options: string, shown: object, row: object][] = [
      [
        'set',
        `--jwks ${set}`,
        { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{}, {}] } },
        { jwks_uri: null },
      ],
      ['one', `--jwks ${single}`, { jwks: { keys: [one.publicJwk] } }, { auth_method: 'private_key_jwt' }],
      [
        'uri',
        `--jwks-uri ${nowhere}`,
        { jwks_uri: nowhere, jwks: null },
        { auth_method: 'private_key_jwt', jwks: null },
      ],
      [
        'dns',
        '--tls-subject san_dns:a.example',
        { token_endpoint_auth_method: 'tls_client_auth' },
        { tls_subject: 'san_dns:a.example' },
      ],
      [
        'self',
        `--tls-self-signed --jwks ${set}`,
        { token_endpoint_auth_method: 'self_signed_tls_client_auth' },
        { tls_bound: 0 },
      ],
      [
        'bound',
        '--tls-subject san_dns:a.example --tls-bound',
        { tls_client_certificate_bound_access_tokens: true },
        { tls_bound: 1 },
      ],
      [
        'dpop',
        '--dpop required',
        { dpop_bound_access_tokens: true, client_secret: /^mm_cs_/ },
        { dpop_bound: 1 },
      ],
      ['plain', '--dpop optional', { token_endpoint_auth_method: 'client_secret_basic' }, { dpop_bound: 0 }],
    ]
    for (const [id, options, shown, row] of cases) {
      const { code, json, stderr } = await call(`client create --id ${id} ${job} ${options} --json`)
      t.equal(code, 0, stderr)
      t.match(json(), shown, id)
      t.equal(
        'client_secret' in json(),
        id === 'dpop' || id === 'plain',
        `${id} has a secret, or what it was given`,
      )
      t.match(await rowOf(id), row, id)
      if (id === 'uri')
        t.match(stderr, /note: .*jwks\.json cannot be read from here now.*MINTMARK_JWKS_URI_NETWORKS/)
      if (id === 'dns') t.match(stderr, /note: its certificate comes from a proxy.*MINTMARK_CLIENT_CERT/)
    }
    const { stdout } = await call('client list')
    for (const line of [
      /self +confidential self_signed_tls_client_auth/,
      /bound +confidential tls_client_auth tls-bound/,
      /dpop +confidential dpop/,
    ]) {
      t.match(stdout, line)
    }
    const reuse = '--public --dpop required --grant password refresh_token --refresh reuse'
    t.equal(
      (await call(`client create --id reuse ${reuse}`)).code,
      0,
      'a public client may reuse what is bound',
    )
  })

  t.test('cannot be what makes no sense, and nothing is left of it', async t => {
    const cases: [options: string, code: number, reason: RegExp][] = [
      [`--public --grant password --jwks ${set}`, 1, /a public client has nothing to authenticate with/],
      [
        '--public --grant password --tls-subject san_dns:a.example',
        1,
        /a public client has nothing to authenticate/,
      ],
      [`${job} --jwks ${set} --jwks-uri ${nowhere}`, 2, /use one of them/],
      [`${job} --jwks ${set} --new-key ${join(home, 'no.jwk')}`, 2, /use one of them/],
      [`${job} --jwks ${set} --tls-subject san_dns:a.example`, 1, /has no keys of its own/],
      [`${job} --tls-self-signed`, 1, /give the client jwks or jwks_uri/],
      [`${job} --tls-bound --dpop required`, 1, /bound to one key/],
      [
        `${job} --jwks ${set} --secret-file ${join(home, 'no.secret')}`,
        2,
        /a client with keys has no secret/,
      ],
      [`${job} --jwks ${put('private.json', one.privateJwk)}`, 1, /holds a private or a shared key/],
      [
        `${job} --jwks ${put('mixed.json', { keys: [one.publicJwk, two.privateJwk] })}`,
        1,
        /holds a private or a shared key/,
      ],
      [
        `${job} --jwks ${put('shared.json', { kty: 'oct', k: 'AAAA' })}`,
        1,
        /holds a private or a shared key/,
      ],
      [`${job} --jwks ${put('empty.json', { keys: [] })}`, 1, /holds no key that can be used/],
      [
        `${job} --jwks ${put('odd.json', { keys: [{ ...one.publicJwk, alg: 'ES384' }] })}`,
        1,
        /keys\[0\] has none of the algorithms/,
      ],
      [`${job} --jwks ${put('no.json', '-----BEGIN PUBLIC KEY-----')}`, 1, /takes a JWK Set in JSON/],
      [`${job} --jwks ${join(home, 'missing.json')}`, 1, /no such file/],
      [`${job} --jwks-uri http://web.example/`, 1, /takes an https URL/],
      [`${job} --jwks-uri https://a:b@web.example/`, 1, /without credentials/],
      [`${job} --tls-subject app.example`, 1, /takes a name after its kind/],
      [`${job} --tls-subject san_dns:.example`, 1, /takes a name after its kind/],
      [`${job} --tls-subject san_ip:300.1.1.1`, 1, /takes a name after its kind/],
      [`${job} --tls-subject subject_dn:app`, 1, /takes a name after its kind/],
      [`${job} --dpop always`, 2, /Allowed choices are optional, required/],
      [`--public --grant password refresh_token --refresh reuse`, 1, /--dpop required binds them/],
      [`--new-key ${join(home, 'left.jwk')}`, 1, /without a grant can do nothing/],
    ]
    for (const [options, code, reason] of cases) {
      t.match(await call(`client create --id no ${options}`), { code, stdout: '', stderr: reason }, options)
    }
    t.equal(await rowOf('no'), undefined)
    for (const file of ['no.jwk', 'no.secret', 'left.jwk']) t.notOk(existsSync(join(home, file)), file)
  })

  t.test('get a new key whose private half is in a file and nowhere else', async t => {
    const file = join(home, 'new.jwk')
    const created = await call(`client create --id new ${job} --new-key ${file} --json`)
    t.match(created.json(), { private_key_file: file, token_endpoint_auth_method: 'private_key_jwt' })
    t.equal(statSync(file).mode & 0o777, 0o600)
    const jwk = JSON.parse(readFileSync(file, 'utf8'))
    t.match(jwk, { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid: /^[\w-]{43}$/, d: /^[\w-]{43}$/ })
    const { d, ...publicHalf } = jwk
    t.strictSame(JSON.parse((await rowOf('new'))?.jwks ?? ''), { keys: [publicHalf] })
    const listed = (await call('client list --json')).json().find((client: any) => client.client_id === 'new')
    t.strictSame(
      listed.jwks,
      { keys: [publicHalf] },
      'the list has the public half, and it is the file without d',
    )
    t.notMatch(created.stdout + created.stderr, d)
    t.match(await call(`client create --id newer ${job} --new-key ${file}`), { code: 1, stderr: /new\.jwk/ })
    t.strictSame(JSON.parse(readFileSync(file, 'utf8')), jwk, 'never over another')
  })

  t.test('move from a secret to keys and back, with both for a while', async t => {
    await call(`client create --id mover ${job}`)
    const file = join(home, 'mover.jwk')
    const moved = await call(`client set-keys mover --new-key ${file} --keep-old 24h --json`)
    t.match(moved.json(), { client_id: 'mover', private_key_file: file, jwks: { keys: [{ kty: 'EC' }] } })
    const row = await rowOf('mover')
    t.match(row, { auth_method: 'private_key_jwt', secret_hash: null, keys_expire_at: null })
    t.equal(row?.old_secret_expires_at, moved.json().old_secret_expires_at)
    t.equal(row?.old_secret_hash?.length, 32)
    t.match(await call(`client set-keys mover --jwks ${set}`), {
      code: 0,
      stdout: /The old key set is refused from now on/,
    })
    t.match(await rowOf('mover'), { jwks: /Ed25519/, old_secret_hash: null })

    const back = await call('client rotate-secret mover --keep-old 1h')
    t.match(back.stdout, /The old key set works for another 1h/)
    const both = await rowOf('mover')
    t.match(both, { auth_method: 'client_secret', jwks: /Ed25519/ })
    t.ok((both?.keys_expire_at ?? 0) > (both?.created_at ?? 0))
    await call('client rotate-secret mover')
    t.match(await rowOf('mover'), { jwks: null, keys_expire_at: null, old_secret_hash: null })

    const cases: [command: string, code: number, reason: RegExp][] = [
      ['set-keys mover', 2, /which keys\? Give --jwks, --jwks-uri or --new-key/],
      [`set-keys new --jwks ${set} --keep-old 1h`, 1, /new has keys, not a secret/],
      [`set-keys mover --jwks ${join(home, 'private.json')}`, 1, /holds a private or a shared key/],
      [`set-keys reuse --jwks ${set}`, 1, /reuse \(none\) is not known by keys/],
      [`set-keys dns --jwks ${set}`, 1, /dns \(tls_client_auth\) is not known by keys/],
      [`set-keys nobody --jwks ${set}`, 1, /there is no client nobody/],
      ['rotate-secret dns', 1, /dns authenticates in another way \(tls_client_auth\), and takes no secret/],
      [`set-keys dns --new-key ${join(home, 'left.jwk')}`, 1, /not known by keys/],
    ]
    for (const [command, code, reason] of cases) {
      t.match(await call(`client ${command}`), { code, stdout: '', stderr: reason }, command)
    }
    t.notOk(existsSync(join(home, 'left.jwk')), 'a key that nobody got is removed')
  })

  t.test('are changed by update, and by nothing that would change how they authenticate', async t => {
    t.match((await call('client update plain --dpop required --json')).json().differences, {
      dpop_bound_access_tokens: { from: false, to: true },
    })
    t.match(await call('client update plain --dpop optional'), {
      stdout: /dpop_bound_access_tokens: true -> false/,
    })
    t.match(await call('client update dns --tls-subject san_dns:b.example --tls-bound'), {
      code: 0,
      stdout: /tls_subject: san_dns:a\.example -> san_dns:b\.example/,
    })
    t.match(await rowOf('dns'), { tls_subject: 'san_dns:b.example', tls_bound: 1 })
    t.match(await call('client update dns --no-tls-bound'), { code: 0 })
    t.match(await call('client update plain --tls-subject san_dns:b.example'), {
      code: 1,
      stderr: /authenticates with client_secret/,
    })
    t.match(await call('client update dns --tls-bound --dpop required'), {
      code: 1,
      stderr: /bound to one key/,
    })
    t.match(await call('client update one --scope read'), { code: 0 })
    t.match(await rowOf('one'), { scope: 'read', jwks: JSON.stringify({ keys: [one.publicJwk] }) })
  })

  t.test('are declared in a file', async t => {
    const apply = async (clients: object[], options: string[] = ['--yes', '--json']) =>
      call(['apply', put('mintmark.json', { clients }), ...options])
    const signs = { client_id: 'signs', grant_types: ['client_credentials'], jwks: { keys: [one.publicJwk] } }
    const shows = {
      client_id: 'shows',
      grant_types: ['client_credentials'],
      tls_subject: 'san_dns:a.example',
    }
    const device = {
      client_id: 'device',
      public: true,
      grant_types: ['password'],
      dpop_bound_access_tokens: true,
    }
    const made = (await apply([signs, shows, device])).json()
    t.strictSame(made.client_secrets, {}, 'none of them has a secret')
    t.match(await rowOf('signs'), { auth_method: 'private_key_jwt', jwks: JSON.stringify(signs.jwks) })
    t.match(await rowOf('shows'), { auth_method: 'tls_client_auth', tls_subject: 'san_dns:a.example' })
    t.match(await rowOf('device'), { auth_method: 'none', dpop_bound: 1 })
    t.match((await apply([signs, shows, device])).json(), { applied: false }, 'the same again is nothing')
    const next = { ...signs, jwks: { keys: [two.publicJwk] } }
    const bound = { ...shows, tls_client_certificate_bound_access_tokens: true }
    t.match((await apply([next, bound])).json().changes, [
      { differences: { jwks: {} } },
      { action: 'change' },
    ])
    t.match(await rowOf('signs'), { jwks: JSON.stringify(next.jwks) })
    t.match(await rowOf('shows'), { tls_bound: 1 })
    const refused: [client: object, reason: RegExp][] = [
      [{ ...signs, jwks: undefined }, /it would authenticate with client_secret instead of private_key_jwt/],
      [
        { ...shows, tls_subject: undefined, jwks_uri: 'https://x.example' },
        /instead of tls_client_auth.*set-keys/,
      ],
      [{ ...signs, jwks: { keys: [one.privateJwk] } }, /holds a private or a shared key/],
      [{ ...signs, jwks: 'x' }, /\.jwks takes an object/],
      [{ ...signs, jwks: undefined, jwks_uri: 3 }, /\.jwks_uri takes a URL/],
      [{ ...shows, tls_subject: 'x' }, /takes a name after its kind/],
      [{ ...device, dpop_bound_access_tokens: 'yes' }, /takes true or false/],
      [{ ...device, dpop_bound: true }, /has "dpop_bound", which is not known/],
    ]
    for (const [client, reason] of refused)
      t.match(await apply([client]), { code: 1, stdout: '', stderr: reason })
  })

  t.test('and all of that is in the audit trail, without a secret', async t => {
    const entries = (await call('audit list --json')).json()
    const text = JSON.stringify(entries)
    for (const event of ['client_created', 'client_keys_set', 'client_secret_rotated', 'client_changed']) {
      t.ok(
        entries.some((entry: any) => entry.event === event),
        event,
      )
    }
    const keysSet = entries.filter((entry: any) => entry.event === 'client_keys_set')
    t.match(keysSet, [{ client_id: 'mover', detail: { jwks: { keys: [{}] } } }, { client_id: 'mover' }])
    t.strictSame(
      new Set(keysSet.map(({ detail }: any) => detail.from)),
      new Set(['client_secret', 'private_key_jwt']),
      'who had which keys since when, and what before',
    )
    const { d } = JSON.parse(readFileSync(join(home, 'mover.jwk'), 'utf8'))
    t.notMatch(text, d)
    t.notMatch(text, /mm_cs_/)
  })
})
