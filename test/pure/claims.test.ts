import fc from 'fast-check'
import t from 'tap'
import {
  claimNames,
  claimsFor,
  parseRequestedClaims,
  scopesOfClaims,
  scopesToAllow,
  type RequestedClaims,
} from '../../src/protocol/claims.ts'
import {
  changedClaims,
  readClaim,
  readClaimName,
  standardClaims,
  type ClaimChange,
  type UserClaims,
} from '../../src/protocol/standard-claims.ts'

t.test('OpenID Core §5.1 a claim is read by its kind', async t => {
  const cases: [text: string, value: unknown][] = [
    ['name=Ada Lovelace', 'Ada Lovelace'],
    ['given_name=Zoe\u0308', 'Zo\u00eb'],
    ['nickname=a=b', 'a=b'],
    ['website=https://ada.example/~a?b#c', 'https://ada.example/~a?b#c'],
    ['picture=http://ada.example/me.png', 'http://ada.example/me.png'],
    ['email=ada+list@example.com', 'ada+list@example.com'],
    ['email_verified=true', true],
    ['phone_number_verified=false', false],
    ['birthdate=1815-12-10', '1815-12-10'],
    ['birthdate=0000-02-29', '0000-02-29'],
    ['birthdate=1815', '1815'],
    ['zoneinfo=Europe/Berlin', 'Europe/Berlin'],
    ['locale=de-DE', 'de-DE'],
    ['phone_number=+1 (425) 555-1212', '+1 (425) 555-1212'],
    ['phone_number=+56 (2) 687 2400;ext=5678', '+56 (2) 687 2400;ext=5678'],
    ['address={"country":"DE","formatted":"Weg 1\\nBerlin"}', { country: 'DE', formatted: 'Weg 1\nBerlin' }],
    ['updated_at=1311280970', 1311280970],
  ]
  for (const [text, value] of cases) t.match(readClaim(text), { kind: 'set', value }, text)
  t.strictSame(readClaim('address.country=DE'), { kind: 'set member', member: 'country', value: 'DE' })
})

t.test('OpenID Core §5.1 what is no such claim is refused with what it takes', async t => {
  const cases: [text: string, sentence: RegExp][] = [
    ['given_name', /name=value/],
    ['=Ada', /name=value/],
    ['sub=1', /one of name, given_name/],
    ['roles=editor', /one of name/],
    ['__proto__=1', /one of name/],
    ['address.planet=Mars', /address\.country/],
    ['given_name=', /one line/],
    ['given_name=a\nb', /one line/],
    [`given_name=${'x'.repeat(1025)}`, /one line/],
    ['picture=javascript:alert(1)', /https or http URL/],
    ['picture=https://a b', /https or http URL/],
    ['website=https://ada:secret@ada.example', /https or http URL/],
    ['email=ada', /mail address/],
    ['email=ada@a@b', /mail address/],
    ['email_verified=yes', /true or false/],
    ['birthdate=1815-02-30', /a date/],
    ['birthdate=10.12.1815', /a date/],
    ['birthdate=0000', /a date/],
    ['zoneinfo=Mars/Olympus', /time zone/],
    ['zoneinfo=+01:00', /time zone/],
    ['locale=german!', /language tag/],
    ['phone_number=030 123456', /international/],
    ['address=Berlin', /an object/],
    ['address={}', /an object/],
    ['address={"country":1}', /an object/],
    ['address={"planet":"Mars"}', /an object/],
    ['address.country=', /a text/],
    ['updated_at=-1', /seconds/],
  ]
  for (const [text, sentence] of cases) t.match(readClaim(text), sentence, text)
  t.match(readClaimName('shoe_size'), /one of name/)
})

const changed = (before: UserClaims, ...changes: readonly (ClaimChange | string)[]) =>
  changedClaims(before, changes as readonly ClaimChange[])

t.test('claims are changed one by one', async t => {
  const ada = { given_name: 'Ada', email: 'ada@example.com', email_verified: true }
  t.strictSame(changed(ada, readClaim('birthdate=1815')), { ...ada, birthdate: '1815' })
  t.strictSame(Object.keys(changed({ birthdate: '1815' }, readClaim('name=Ada'))), ['name', 'birthdate'])
  t.strictSame(changed(ada, readClaimName('given_name')), { email: 'ada@example.com', email_verified: true })
  t.strictSame(changed(ada, { kind: 'remove all' }, readClaim('name=A')), { name: 'A' })

  const berlin = { address: { country: 'DE', locality: 'Berlin' } }
  t.strictSame(changed(berlin, readClaim('address.locality=Bonn')), {
    address: { country: 'DE', locality: 'Bonn' },
  })
  t.strictSame(changed(berlin, readClaimName('address.country'), readClaimName('address.locality')), {})
})

t.test('a new mail address or phone number is not verified, unless it is said with it', async t => {
  const ada = { email: 'ada@example.com', email_verified: true }
  t.strictSame(changed(ada, readClaim('email=eve@example.com')), { email: 'eve@example.com' })
  t.strictSame(changed(ada, readClaim('email=ada@example.com')), ada, 'the same one stays so')
  t.strictSame(changed(ada, readClaimName('email')), {})
  t.strictSame(changed(ada, readClaim('email_verified=true'), readClaim('email=eve@example.com')), {
    email: 'eve@example.com',
    email_verified: true,
  })
  const phone = { phone_number: '+49 30 1234', phone_number_verified: true }
  t.strictSame(changed(phone, readClaim('phone_number=+49 30 4321')), { phone_number: '+49 30 4321' })
})

t.test('OpenID Core §5.4 each scope gives its claims, and no others', async t => {
  const claims = {
    name: 'Ada',
    email: 'ada@example.com',
    email_verified: true,
    phone_number: '+49 30 1234',
    address: { country: 'DE' },
    updated_at: 1,
  }
  const ada = { username: 'ada', roles: ['editor', 'admin'], claims: JSON.stringify(claims) }
  const { name, email, email_verified, phone_number, address, updated_at } = claims
  const given = (...scopes: readonly string[]) => claimsFor(ada, { scopes })
  t.strictSame(given('openid'), {})
  t.strictSame(given('profile'), { name, preferred_username: 'ada', updated_at })
  t.strictSame(given('email'), { email, email_verified })
  t.strictSame(given('phone'), { phone_number })
  t.strictSame(given('address'), { address })
  t.strictSame(given('roles'), { roles: ['editor', 'admin'] })
  t.strictSame(claimsFor({ ...ada, roles: [] }, { scopes: ['roles'] }), { roles: [] }, 'a list always')
  t.strictSame(given('__proto__', 'constructor', 'read'), {})
  const all = { ...claims, preferred_username: 'ada', roles: ['editor', 'admin'] }
  t.strictSame(given(...scopesOfClaims), all)
  const countess = { ...ada, claims: '{"preferred_username":"Countess"}' }
  t.strictSame(
    claimsFor(countess, { scopes: ['profile'] }),
    { preferred_username: 'Countess' },
    'as it was set',
  )
  t.strictSame(claimsFor(ada, { scopes: [], names: ['preferred_username'] }), { preferred_username: 'ada' })
  t.strictSame(claimsFor(ada, { scopes: ['email'], names: ['name', 'birthdate'] }), {
    name,
    email,
    email_verified,
  })
  const everything = standardClaims.map(claim => [claim, 1])
  const full = claimsFor(
    { username: 'ada', roles: [], claims: JSON.stringify(Object.fromEntries(everything)) },
    { scopes: scopesOfClaims },
  )
  t.strictSame(Object.keys(full), claimNames, 'no claim is without a scope')
})

t.test(
  'OU-8 whatever a request can give of a user is in the words of the scopes that a person is asked for',
  async t => {
    type Named = Pick<RequestedClaims, 'userinfo' | 'idToken'>
    const named = (...userinfo: string[]): Named => ({ userinfo, idToken: [] })
    const rows: [scope: string, claims: Named | null, asked: string[]][] = [
      ['openid read', null, ['openid', 'read']],
      ['openid', named(), ['openid']],
      ['openid', named('email', 'name', 'nickname'), ['openid', 'profile', 'email']],
      ['email openid', named('email_verified'), ['email', 'openid']],
      ['openid', { userinfo: ['roles'], idToken: ['address'] }, ['openid', 'address', 'roles']],
      ['read', named('name'), ['read']],
      ['', null, []],
    ]
    for (const [scope, claims, asked] of rows)
      t.strictSame(scopesToAllow({ scope, claims }), asked, `${scope} ${JSON.stringify(claims)}`)

    const full = Object.fromEntries(standardClaims.map(claim => [claim, 1]))
    const ada = { username: 'ada', roles: ['editor'], claims: JSON.stringify(full) }
    const anyNames = fc.subarray([...claimNames])
    fc.assert(
      fc.property(fc.subarray([...scopesOfClaims]), anyNames, anyNames, (scopes, userinfo, idToken) => {
        const request = { scope: ['openid', ...scopes].join(' '), claims: { userinfo, idToken } }
        const told = claimsFor(ada, { scopes: scopesToAllow(request) })
        return [userinfo, idToken].every(names =>
          Object.keys(claimsFor(ada, { scopes, names })).every(name => Object.hasOwn(told, name)),
        )
      }),
    )
  },
)

t.test('OpenID Core §5.5 claims are asked for by name, for each place', async t => {
  const cases: [title: string, request: unknown, asked: object][] = [
    [
      'the example of §5.5',
      {
        userinfo: {
          given_name: { essential: true },
          nickname: null,
          email: { essential: true },
          picture: null,
          'http://example.info/claims/groups': null,
        },
        id_token: { auth_time: { essential: true }, acr: { values: ['urn:mace:incommon:iap:silver'] } },
      },
      { userinfo: ['given_name', 'nickname', 'email', 'picture'], idToken: [], sub: null, essentialAcr: [] },
    ],
    ['nothing', {}, { userinfo: [], idToken: [], sub: null, essentialAcr: [] }],
    ['members that are not known', { verified: 1, userinfo: null }, { userinfo: [], idToken: [] }],
    [
      'names of the prototype',
      JSON.parse('{"userinfo":{"__proto__":null,"constructor":null}}'),
      { userinfo: [] },
    ],
    ['roles', { id_token: { roles: null, email: { purpose: 'x' } } }, { idToken: ['roles', 'email'] }],
    ['a sub', { id_token: { sub: { value: 'a' } }, userinfo: { sub: { values: ['a'] } } }, { sub: 'a' }],
    ['a sub that may be any', { id_token: { sub: { essential: true } } }, { sub: null }],
    [
      'an essential acr',
      { id_token: { acr: { essential: true, values: ['mfa', 'phr'] } } },
      { essentialAcr: ['mfa', 'phr'] },
    ],
    ['one acr', { id_token: { acr: { essential: true, value: 'mfa' } } }, { essentialAcr: ['mfa'] }],
    ['an acr for userinfo', { userinfo: { acr: { essential: true, value: 'mfa' } } }, { essentialAcr: [] }],
  ]
  for (const [title, request, asked] of cases)
    t.match(parseRequestedClaims(JSON.stringify(request)), asked, title)
})

t.test('OpenID Core §5.5 another form is malformed', async t => {
  const cases = [
    '',
    'x',
    'null',
    '[]',
    '"userinfo"',
    '{"userinfo":[]}',
    '{"id_token":"acr"}',
    '{"userinfo":{"email":true}}',
    '{"userinfo":{"email":{"essential":"yes"}}}',
    '{"userinfo":{"email":{"values":"a"}}}',
    '{"id_token":{"sub":{"value":1}}}',
    '{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}',
    '{"id_token":{"sub":{"values":["a","b"]}}}',
    '{"id_token":{"acr":{"essential":true,"value":1}}}',
  ]
  for (const text of cases) t.equal(parseRequestedClaims(text), undefined, text)
})
