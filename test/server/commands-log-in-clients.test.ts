import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { onSqlite } from '../helpers/engines.ts'
import { testKey } from '../helpers/proofs.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

const api = 'https://api.example'
const callback = 'https://app.example/callback'
const people = `--grant authorization_code refresh_token --redirect-uri ${callback}`

t.test('clients that people log in to', async t => {
  const { call } = commandLine(t)
  await call('db migrate')
  await call(`resource create ${api} --scope read`)

  t.test('what cannot be is refused with what to do (BL-1)', async t => {
    const refused: readonly (readonly [options: string | readonly string[], reason: RegExp])[] = [
      ['--grant authorization_code', /give a client with authorization_code a --redirect-uri/],
      [`--grant password --redirect-uri ${callback}`, /nothing uses without the grant authorization_code/],
      [`${people} --public --pkce optional`, /a public client cannot leave out PKCE/],
      [`${people} --home-uri javascript:alert(1)`, /its home page takes an https URL/],
      [`${people} --home-uri http://app.example`, /its home page takes an https URL/],
      [`${people} --back-channel-logout-uri http://app.example/x`, /takes an https URL without/],
      [`${people} --back-channel-logout-uri https://app.example/x#y`, /takes an https URL without/],
      [`${people} --back-channel-logout-uri /x`, /takes an https URL without/],
      [`${people} --back-channel-logout-session-required`, /give it a --back-channel-logout-uri/],
      [['--name', 'Evil\u202eppa', ...people.split(' ')], /its client_name takes up to 100 characters/],
      [['--operator', 'x'.repeat(101), ...people.split(' ')], /its operator takes up to 100 characters/],
      [`${people} --userinfo-alg none`, /"none" signs no answer of \/userinfo: there are ES256/],
    ]
    for (const [options, reason] of refused) {
      const words = typeof options === 'string' ? options.split(' ') : options
      t.match(
        await call(['client', 'create', '--id', 'a', ...words]),
        { code: 1, stderr: reason },
        String(options),
      )
    }
    for (const uri of [
      'http://app.example/x',
      'https://app.example/#x',
      'https://*.app.example/x',
      'app:/x',
      'javascript:1',
    ]) {
      t.match(
        await call(`client create --id a --grant authorization_code --redirect-uri ${uri}`),
        { code: 2, stderr: /A redirect URI is https/ },
        uri,
      )
    }
    t.strictSame((await call('client list --json')).json(), [])
  })

  t.test('the example of apply is one', async t => {
    const [, example = ''] = /\nThe file:\n([^]*?)\n\n/.exec((await call('apply --help')).stdout) ?? []
    const file = join(t.testdir({ 'mintmark.yaml': example }), 'mintmark.yaml')
    t.match(await call(`apply ${file} --dry-run`), { code: 1, stderr: /ada/ }, 'its user is not there')
    await call('user create ada --password-stdin', { input: 'a long enough passphrase' })
    const planned = await call(`apply ${file} --dry-run`)
    t.match(planned, { code: 0, stdout: 'redirect_uris: https://web.example/callback' }, planned.stderr)
  })

  t.test('what was made of the options is shown', async t => {
    const made = await call(`client create --id shown ${people} --name Shown --profile none --consent once`)
    t.match(made.stdout, new RegExp(`\n {2}leads back to +${callback}\n {2}name +Shown\n {2}consent +once\n`))
    t.notMatch(made.stdout, /logs out to|profile/)
    await call('client delete shown --yes')
  })

  t.test('what its owner should know is said', async t => {
    const made = await call(`client create --id old ${people} --pkce optional`)
    t.match(made, { code: 0, stderr: /without PKCE a stolen code is good/ })
    t.match(await call('client create --id cron --grant client_credentials --consent once --par required'), {
      code: 0,
      stderr:
        /without the grant authorization_code its consent, require_pushed_authorization_requests do not count/,
    })
    t.equal(
      (await call(`client create --id fine ${people} --name App --home-uri https://app.example`)).stderr,
      '',
    )
    const told = '--back-channel-logout-uri https://app.example/logged-out'
    t.equal((await call(`client create --id told ${people} ${told}`)).stderr, '')
    t.equal((await call('client update told --back-channel-logout-session-required')).code, 0)
    const clients: readonly Record<string, unknown>[] = (await call('client list --json')).json()
    t.match(
      clients.find(one => one['client_id'] === 'told'),
      {
        backchannel_logout_uri: 'https://app.example/logged-out',
        backchannel_logout_session_required: true,
      },
    )
    t.equal(
      (await call(`client create --id cli ${people} --public --home-uri http://localhost:1/`)).stderr,
      '',
    )
  })

  t.test('doctor names those that may leave out PKCE', async t => {
    const found = async () =>
      (await call('doctor --json')).json().findings.filter(({ check }: any) => check === 'clients')
    t.match(await found(), [
      { verdict: 'warning', text: 'clients that may leave out PKCE: old', advice: /--pkce required/ },
    ])
    await call('client update old --pkce required')
    t.strictSame(await found(), [])
  })
})

t.test('FAPI 2.0 §5.3.2 clients are held to the profile', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call(`resource create ${api} --scope read`)
  await call('resource create https://old.example --scope read --alg RS256')
  const clientOf = async (id: string) =>
    (await call('client list --json')).json().find(({ client_id }: any) => client_id === id)
  const file = (name: string, content: object) => {
    const path = join(home, name)
    writeFileSync(path, JSON.stringify(content))
    return path
  }

  t.test('what the profile can set is set', async t => {
    const made = await call(
      `client create --id bank --profile fapi2 --new-key ${join(home, 'bank.jwk')} ${people}`,
    )
    t.match(made, { code: 0, stderr: '' })
    const settled = {
      profile: 'fapi2',
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      id_token_signed_response_alg: 'ES256',
      refresh: 'reuse',
      pkce: 'required',
      token_endpoint_auth_method: 'private_key_jwt',
    }
    t.match(await clientOf('bank'), settled)

    const { jwks } = await clientOf('bank')
    const declared = { client_id: 'declared', profile: 'fapi2', jwks, redirect_uris: callback }
    const clients = [{ ...declared, grant_types: ['authorization_code', 'refresh_token'] }]
    t.match(await call(['apply', file('clients.json', { clients }), '--yes']), { code: 0 })
    t.match(await clientOf('declared'), settled)

    const tls = '--tls-subject san_dns:app.example --tls-bound'
    t.match(await call(`client create --id tls --profile fapi2 ${tls} --grant client_credentials`), {
      code: 0,
    })
    t.match(await clientOf('tls'), { dpop_bound_access_tokens: false, refresh: 'rotate' })
  })

  t.test('what contradicts it is refused with what to do', async t => {
    const rsa = await testKey('RS256')
    const withoutAlg = file('rsa.jwk', rsa.publicJwk)
    const forPs256 = file('ps.jwk', { ...rsa.publicJwk, alg: 'PS256' })
    const key = () => `--new-key ${join(home, 'unused.jwk')}`
    const refused: readonly (readonly [options: string, reason: RegExp])[] = [
      [people, /fapi2 takes no client secret: give it --new-key/],
      [`${people} --public`, /fapi2 takes no public client/],
      [`${people} ${key()} --grant password`, /fapi2 has no password grant/],
      [`${people} ${key()} --dpop optional`, /fapi2 takes no bearer tokens: bind them with --dpop required/],
      [`${people} ${key()} --par optional`, /by \/par alone: leave --par required/],
      [`${people} ${key()} --pkce optional`, /fapi2 demands PKCE: leave --pkce required/],
      [`${people} ${key()} --redirect-uri http://127.0.0.1/x`, /https redirect URIs alone, and not http:/],
      [`${people} ${key()} --redirect-uri com.example.app:/x`, /https redirect URIs alone, and not com/],
      [`${people} ${key()} --refresh rotate`, /fapi2 has no rotation: .* Leave --refresh reuse/],
      [`${people} ${key()} --refresh strict`, /fapi2 has no rotation/],
      [`${people} ${key()} --id-token-alg RS256`, /and not RS256: leave --id-token-alg ES256/],
      [`${people} ${key()} --userinfo-alg RS256`, /and not RS256: say --userinfo-alg ES256/],
      [
        `${people} ${key()} --resource https://old.example`,
        /`mintmark resource update https:\/\/old.example --alg ES256`/,
      ],
      [`${people} --jwks ${withoutAlg}`, /none of its keys is for: an RSA key is for PS256 when its JWK/],
    ]
    for (const [options, reason] of refused) {
      t.match(
        await call(`client create --id a --profile fapi2 ${options}`),
        { code: 1, stderr: reason },
        options,
      )
    }
    t.equal(await clientOf('a'), undefined)
    t.match(await call(`client create --id a --profile fapi2 ${people} --jwks ${forPs256}`), { code: 0 })

    t.match(await call('client update bank --par optional'), { code: 1, stderr: /leave --par required/ })
    t.match(await call('client rotate-secret bank'), {
      code: 1,
      stderr: /held to fapi2, which takes no secrets/,
    })
    t.match(await call(`client set-keys bank --jwks ${withoutAlg}`), { code: 1, stderr: /is for PS256 when/ })
    t.match(await call(`client set-keys bank --jwks ${forPs256}`), { code: 0 })
    await call(`client create --id web ${people}`)
    t.match(await call('client update web --profile fapi2'), {
      code: 1,
      stderr: /fapi2 takes no client secret/,
    })
  })
})

t.test('an algorithm that is chosen for a client signs when everybody can know its key', async t => {
  const server = await startServer(t, onSqlite)
  const { call } = commandLine(t)
  const env = { MINTMARK_ISSUER: 'https://as.example', ...besideEnv(server) }
  const here = (words: string) => call(words, { env })
  await here(`resource create ${api} --scope read`)
  const aboutKeys = async () =>
    (await here('doctor --json')).json().findings.filter(({ check }: any) => check === 'keys')
  const isSoon = /are signed with RS256 until .*Z, when every verifier can know the PS256 key/

  const usual = await here(`client create --id usual ${people} --id-token-alg ES256`)
  t.match(usual, { code: 0, stderr: '' })
  t.notMatch(usual.stdout, /are signed with/)
  const [before] = await aboutKeys()
  t.notMatch(before.text, /PS256/)

  const made = await here(`client create --id web ${people} --id-token-alg PS256`)
  t.match(made, { code: 0, stdout: isSoon, stderr: /note: the key set is one for all APIs.* PS256 keys/ })
  t.match(made.stdout, /Its ID tokens are/)
  const shown = await here(`client create --id b ${people} --userinfo-alg PS256 --json`)
  t.match(shown.json(), { signs_with: 'RS256', alg_signs_from: Number })
  const updated = await here('client update usual --id-token-alg EdDSA')
  t.match(updated, { code: 0, stdout: /until .* the EdDSA key/, stderr: /it holds EdDSA keys/ })
  t.match(await here('client update usual --id-token-alg ES256'), { code: 0, stderr: '' })

  const found = (await aboutKeys()).filter(({ text }: any) => text.startsWith('no PS256 key signs yet'))
  t.match(found, [{ verdict: 'warning', text: /which b and 1 other client chose: RS256 does until / }])
})
