import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { ConfigError } from '../../src/errors.ts'
import { loadConfig, type Config } from '../../src/config/load.ts'
import { settings } from '../../src/config/settings.ts'
import { formatDuration, parseDuration } from '../../src/values/duration.ts'

const load = (settings: Record<string, string>) =>
  loadConfig(
    Object.fromEntries(Object.entries(settings).map(([name, value]) => [`MINTMARK_${name}`, value])),
    '/srv',
  )

/** The problems that a start would show, one a line. */
function problemsOf(settings: Record<string, string>): readonly string[] {
  try {
    load(settings)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const [title, ...problems] = error.message.split('\n- ')
    t.equal(title, 'The configuration is not valid:')
    return problems
  }
}

t.test('without any setting the defaults of the README count', async t => {
  t.same(loadConfig({ HOME: '/home/someone', PORT: '1', PATH: '/bin' }, '/srv'), {
    home: '/srv',
    issuer: 'http://127.0.0.1:9000',
    host: '127.0.0.1',
    port: 9000,
    workers: 'auto',
    databaseUrl: { engine: 'sqlite', file: '/srv/db/mintmark.sqlite' },
    databasePoolSize: 8,
    databasePooler: 'none',
    rootKeyFile: '/srv/keys/root.key',
    rootKeyIsMounted: false,
    metricsHost: '127.0.0.1',
    metricsPort: 9001,
    accessTokenSeconds: 300,
    refreshIdleSeconds: 30 * 86_400,
    refreshAbsoluteSeconds: 180 * 86_400,
    refreshRetrySeconds: 10,
    refreshLateLimit: 6,
    sessionsPerUser: 100,
    keyRotationSeconds: 30 * 86_400,
    jwksMaxAgeSeconds: 300,
    clockSkewSeconds: 60,
    keyPolicySet: {},
    statusListDelaySeconds: 60,
    auditSeconds: 90 * 86_400,
    trustProxy: [],
    clientCert: 'off',
    mtlsUrl: 'http://127.0.0.1:9000',
    adminApi: 'on',
    adminPort: undefined,
    console: 'on',
    adminHost: '127.0.0.1',
    adminUrl: 'http://127.0.0.1:9000',
    jwksUriNetworks: [],
    clientDocumentHosts: [],
    clientRegistration: 'off',
    deliveryNetworks: [],
    corsOrigins: [],
    logLevel: 'info',
    drainSeconds: 5,
    requireSecondFactor: 'none',
    keepAliveSeconds: 72,
    passkeyRpId: '127.0.0.1',
    name: '127.0.0.1:9000',
    logoFile: undefined,
    color: '#0f766e',
    smtp: undefined,
    passwordHook: undefined,
    mailFrom: undefined,
    mailsPerHour: 900,
    signUp: 'off',
    signInSeconds: 30 * 86_400,
    signInSessionSeconds: 12 * 3600,
  } satisfies Config)
})

t.test('the table of the README names each setting, with its default and what it is for', async t => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  const rows = new Map(
    [...readme.matchAll(/^\| `MINTMARK_(\w+)` \| (.*?) \| (.*?)(?: [¹²])? \|$/gm)].map(
      ([, name = '', fallback = '', help = '']) => [name, { fallback, help }],
    ),
  )
  t.strictSame(
    [...rows].map(([name, { help }]) => [name, help]).sort(),
    Object.values(settings)
      .map(({ name, help }) => [name, help])
      .sort(),
  )
  // In words where the default is no value.
  const inWords = new Map([
    ['the working directory', '/srv'],
    ['the issuer', 'http://127.0.0.1:9000'],
    ['the host of the issuer', '127.0.0.1:9000'],
    ['the host name of the issuer', '127.0.0.1'],
    ['none', ''],
  ])
  const unset = load({})
  for (const [name, { fallback }] of rows) {
    const value = /^`([^`]*)`/.exec(fallback)?.[1] ?? inWords.get(fallback)
    if (value === undefined) throw new Error(`${name}: ${fallback} is no default`)
    const { keyPolicySet, rootKeyIsMounted, ...config } = load({ [name]: value })
    t.strictSame({ ...config, keyPolicySet: {}, rootKeyIsMounted: false }, unset, `${name}=${value}`)
  }
})

t.test('each setting takes its forms', async t => {
  const accepted: readonly (readonly [string, string, Partial<Config>])[] = [
    ['HOME', 'data', { home: '/srv/data', rootKeyFile: '/srv/data/keys/root.key' }],
    [
      'HOME',
      '/var/lib/mintmark',
      { databaseUrl: { engine: 'sqlite', file: '/var/lib/mintmark/db/mintmark.sqlite' } },
    ],
    ['HOME', '', { home: '/srv' }],
    ['PORT', '8080', { port: 8080, issuer: 'http://127.0.0.1:8080', name: '127.0.0.1:8080' }],
    ['PORT', '0', { port: 0 }],
    ['HOST', '0.0.0.0', { host: '0.0.0.0' }],
    ['HOST', '::', { host: '::' }],
    ['ISSUER', 'https://auth.example', { issuer: 'https://auth.example', passkeyRpId: 'auth.example' }],
    ['ISSUER', 'https://auth.example:8443/tenant/a', { issuer: 'https://auth.example:8443/tenant/a' }],
    ['ISSUER', 'https://auth.example/t_1/~a.b-c', { issuer: 'https://auth.example/t_1/~a.b-c' }],
    ['ISSUER', 'http://localhost:9000', { issuer: 'http://localhost:9000' }],
    ['ISSUER', 'http://[::1]:9000', { issuer: 'http://[::1]:9000' }],
    [
      'DATABASE_URL',
      'sqlite:data/x.sqlite',
      { databaseUrl: { engine: 'sqlite', file: '/srv/data/x.sqlite' } },
    ],
    [
      'DATABASE_URL',
      'sqlite:///data/x.sqlite',
      { databaseUrl: { engine: 'sqlite', file: '/data/x.sqlite' } },
    ],
    [
      'DATABASE_URL',
      'postgres://u:p@db/m',
      { databaseUrl: { engine: 'postgres', url: 'postgres://u:p@db/m' } },
    ],
    [
      'DATABASE_URL',
      'postgresql:///m?host=/run/pg',
      { databaseUrl: { engine: 'postgres', url: 'postgresql:///m?host=/run/pg' } },
    ],
    ['DATABASE_POOL_SIZE', '20', { databasePoolSize: 20 }],
    ['DATABASE_POOLER', 'transaction', { databasePooler: 'transaction' }],
    ['ROOT_KEY_FILE', 'root.key', { rootKeyFile: '/srv/root.key', rootKeyIsMounted: true }],
    ['METRICS_PORT', '0', { metricsPort: 0 }],
    ['DRAIN', '0', { drainSeconds: 0 }],
    ['DRAIN', '1m', { drainSeconds: 60 }],
    ['KEEP_ALIVE', '620', { keepAliveSeconds: 620 }],
    ['ACCESS_TOKEN_TTL', '90s', { accessTokenSeconds: 90, statusListDelaySeconds: 45 }],
    ['ACCESS_TOKEN_TTL', '1h', { accessTokenSeconds: 3600, statusListDelaySeconds: 60 }],
    ['STATUS_LIST_DELAY', '10', { statusListDelaySeconds: 10 }],
    ['REFRESH_IDLE_TTL', '12h', { refreshIdleSeconds: 43_200 }],
    ['REFRESH_ABSOLUTE_TTL', '365d', { refreshAbsoluteSeconds: 365 * 86_400 }],
    ['REFRESH_RETRY_WINDOW', '0', { refreshRetrySeconds: 0 }],
    ['REFRESH_LATE_LIMIT', '8', { refreshLateLimit: 8 }],
    ['SESSIONS_PER_USER', '5', { sessionsPerUser: 5 }],
    [
      'KEY_ROTATION_INTERVAL',
      '1d',
      { keyRotationSeconds: 86_400, keyPolicySet: { key_rotation_seconds: 86_400 } },
    ],
    ['JWKS_MAX_AGE', '1m', { jwksMaxAgeSeconds: 60, keyPolicySet: { jwks_max_age_seconds: 60 } }],
    ['CLOCK_SKEW', '0', { clockSkewSeconds: 0, keyPolicySet: { clock_skew_seconds: 0 } }],
    [
      'TRUST_PROXY',
      '10.0.0.0/8, fd00::/8 192.0.2.1',
      { trustProxy: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'] },
    ],
    [
      'CORS_ORIGINS',
      'https://app.example,http://localhost:5173',
      { corsOrigins: ['https://app.example', 'http://localhost:5173'] },
    ],
    ['NAME', 'Société Générale & Söhne', { name: 'Société Générale & Söhne' }],
    ['LOGO_FILE', 'logo.svg', { logoFile: '/srv/logo.svg' }],
    ['COLOR', '#Fc0', { color: '#ffcc00' }],
    ['COLOR', '#0F766E', { color: '#0f766e' }],
    ['LOG_LEVEL', 'debug', { logLevel: 'debug' }],
  ]
  for (const [name, value, part] of accepted) t.match(load({ [name]: value }), part, `${name}=${value}`)
})

t.test('what a setting does not take is refused with its name, its value and what it takes', async t => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['PORT', '65536', /^MINTMARK_PORT is "65536", but takes a whole number from 0 to 65535$/],
    ['PORT', '80a', /PORT is "80a"/],
    ['PORT', '-1', /PORT is "-1"/],
    ['PORT', ' 80', /PORT is " 80"/],
    ['PORT', '1e3', /PORT is "1e3"/],
    ['HOST', 'http://0.0.0.0', /takes a host name or an address/],
    ['METRICS_HOST', 'a b', /takes a host name or an address/],
    ['ISSUER', 'http://auth.example', /takes an https URL .* \(http only for a loopback host\)/],
    ...['a%20b', 'a:b', '.well-known', 'a/.well-known%2f', '*'].map(
      path => ['ISSUER', `https://auth.example/${path}`, /path of letters, digits and - \. _ ~/] as const,
    ),
    ['PASSKEY_RP_ID', 'Example.com', /takes a domain name in lower case/],
    ['PASSKEY_RP_ID', 'https://example.com', /takes a domain name/],
    ['PASSKEY_RP_ID', 'example.com:443', /takes a domain name/],
    ['ISSUER', 'https://auth.example/', /; did you mean https:\/\/auth\.example\?$/],
    ['ISSUER', 'HTTPS://Auth.Example:443', /; did you mean https:\/\/auth\.example\?$/],
    ['ISSUER', 'https://auth.example/?a=b', /takes an https URL without query/],
    ['ISSUER', 'https://auth.example#a', /without query, fragment/],
    ['ISSUER', 'https://user:pw@auth.example', /takes an https URL/],
    ['ISSUER', 'auth.example', /takes an https URL/],
    ['ISSUER', 'http://127.0.0.1.example', /http only for a loopback host/],
    ...['teal', '0f766e', '#0f766', '#0f766e80', '#fff;}*{display:none'].map(
      color => ['COLOR', color, /takes a colour as #rgb or #rrggbb$/] as const,
    ),
    ['NAME', ' ', /takes a text of 1 to 60 characters/],
    ['NAME', 'x'.repeat(61), /takes a text of 1 to 60 characters/],
    ['NAME', 'a\nb', /without control characters/],
    ['DATABASE_URL', 'mysql://db', /^MINTMARK_DATABASE_URL takes sqlite:PATH or postgres:\/\//],
    ['DATABASE_URL', 'sqlite:', /takes sqlite:PATH/],
    ['DATABASE_URL', 'sqlite::memory:', /takes sqlite:PATH/],
    ['DATABASE_URL', 'sqlite://data/x.sqlite', /takes sqlite:PATH/],
    [
      'DATABASE_URL',
      'postgres://db:port/m',
      /names no host and port that could be read .* HOST:PORT,HOST:PORT/,
    ],
    ['DATABASE_POOL_SIZE', '1', /takes a whole number from 2 to 100$/],
    ['DATABASE_POOLER', 'session', /takes one of none, transaction$/],
    [
      'ACCESS_TOKEN_TTL',
      '5',
      /takes a duration from 10s to 1d, in seconds or with a unit \(300, 90s, 5m, 12h, 30d\)$/,
    ],
    ['ACCESS_TOKEN_TTL', '5min', /takes a duration/],
    ['REFRESH_IDLE_TTL', '1.5h', /takes a duration from 1m to 3650d/],
    ['REFRESH_RETRY_WINDOW', '10m', /takes a duration from 0s to 5m/],
    ['STATUS_LIST_DELAY', '1', /takes a duration from 2s to 1h/],
    ['REFRESH_LATE_LIMIT', '9', /takes a whole number from 1 to 8$/],
    ['CLOCK_SKEW', '1h', /takes a duration from 0s to 10m/],
    ['TRUST_PROXY', '10.0.0.0/33', /takes addresses or networks/],
    ['TRUST_PROXY', 'true', /takes addresses or networks/],
    ['CORS_ORIGINS', 'https://app.example/', /takes origins like/],
    ['CORS_ORIGINS', '*', /takes origins like/],
    ['LOG_LEVEL', 'verbose', /takes one of fatal, error, warn, info, debug, trace, silent$/],
  ]
  for (const [name, value, problem] of refused)
    t.match(problemsOf({ [name]: value }), [problem], `${name}=${value}`)
})

t.test(
  'a line break or another control character in any setting is refused by the name of the setting',
  async t => {
    const valid: Readonly<Record<string, string>> = {
      HOME: '/srv/mintmark',
      ISSUER: 'https://auth.example',
      HOST: '127.0.0.1',
      PORT: '9000',
      DATABASE_URL: 'sqlite:db/other.sqlite',
      DATABASE_URL_FILE: '/run/secrets/url',
      DATABASE_POOL_SIZE: '8',
      DATABASE_POOLER: 'none',
      ROOT_KEY_FILE: '/run/secrets/root.key',
      METRICS_HOST: '127.0.0.1',
      CLIENT_CERT: 'off',
      LOG_LEVEL: 'info',
      ACCESS_TOKEN_TTL: '5m',
    }
    const controls = {
      'CR at the end': '#\r',
      'LF at the end': '#\n',
      CRLF: '#\r\n',
      NUL: '#\0',
      'CR first': '\r#',
    }
    for (const [name, value] of Object.entries(valid)) {
      for (const [title, form] of Object.entries(controls)) {
        const text = form.replace('#', value)
        const problems = problemsOf({ [name]: text })
        t.equal(problems.length, 1, `${name}: ${title}`)
        t.match(problems[0], new RegExp(`^MINTMARK_${name} `), `${name}: ${title}`)
        t.notMatch(problems[0], /[\0-\x1f]/, 'and what is not seen is shown as it is written')
      }
    }
    for (const name of ['HOME', 'ROOT_KEY_FILE', 'DATABASE_URL_FILE'])
      t.match(problemsOf({ [name]: '/srv/mintmark ' }), [
        /is "\/srv\/mintmark ", but takes a path without control/,
      ])
    for (const url of ['sqlite:db/a.sqlite\r', 'sqlite:db/a\tb', 'postgres://u:hunter2@db/m\r'])
      t.match(problemsOf({ DATABASE_URL: url }), [
        /^MINTMARK_DATABASE_URL holds a line break or another control/,
      ])
    t.notMatch(problemsOf({ DATABASE_URL: 'postgres://u:hunter2@db/m\r' }).join(), /hunter2/)
    t.match(load({ TRUST_PROXY: '10.0.0.0/8\r\n192.0.2.1\r\n' }), {
      trustProxy: ['10.0.0.0/8', '192.0.2.1'],
    })
  },
)

t.test('settings that contradict each other are refused', async t => {
  t.match(problemsOf({ REFRESH_IDLE_TTL: '200d' }), [
    /IDLE_TTL \(200d\) is longer than MINTMARK_REFRESH_ABSOLUTE_TTL \(180d\)/,
  ])
  t.match(problemsOf({ ACCESS_TOKEN_TTL: '1m', STATUS_LIST_DELAY: '60' }), [
    /STATUS_LIST_DELAY \(1m\) is not shorter than MINTMARK_ACCESS_TOKEN_TTL \(1m\)/,
  ])
  t.same(problemsOf({ ACCESS_TOKEN_TTL: '10' }), [], 'the default of the one follows the other')
  t.match(problemsOf({ PORT: '9001' }), [/^MINTMARK_METRICS_PORT is 9001, the same as MINTMARK_PORT/])
  t.same(problemsOf({ PORT: '9001', METRICS_HOST: '127.0.0.2' }), [])
  t.match(problemsOf({ ADMIN_PORT: '9000' }), [/^MINTMARK_ADMIN_PORT is 9000, the same as MINTMARK_PORT/])
  t.match(problemsOf({ ADMIN_PORT: '9001' }), [/^MINTMARK_ADMIN_PORT is 9001, the same as MINTMARK_METRICS/])
  t.same(problemsOf({ ADMIN_PORT: '9002', ADMIN_URL: 'https://admin.example' }), [])
  t.match(problemsOf({ ADMIN_URL: 'https://admin.example' }), [/^MINTMARK_ADMIN_URL counts only with/])
})

t.test('passkeys are for the host of the issuer, or a domain above it (WebAuthn Level 3 §5.1.3)', async t => {
  const of = (issuer: string, rpId: string) => problemsOf({ ISSUER: issuer, PASSKEY_RP_ID: rpId })
  for (const rpId of ['login.example.com', 'example.com'])
    t.same(of('https://login.example.com:8443/a', rpId), [], rpId)
  t.same(of('http://localhost:9000', 'localhost'), [], 'localhost itself')
  for (const rpId of ['com', 'other.com', 'ogin.example.com', 'a.login.example.com', '127.0.0.1'])
    t.match(
      of('https://login.example.com', rpId),
      [/^MINTMARK_PASSKEY_RP_ID is .* take only the host of/],
      rpId,
    )
  t.match(of('https://10.0.0.1', '0.0.1'), [/PASSKEY_RP_ID/], 'an address is below nothing')
})

t.test('all problems are told at once', async t => {
  const problems = problemsOf({ PORT: 'x', ISSUER: 'y', LOG_LEVEL: 'z', ISUER: '', REFRESH_LATE_LIMIT: '0' })
  const names = [
    /PORT is "x"/,
    /ISSUER is "y"/,
    /LATE_LIMIT is "0"/,
    /LOG_LEVEL is "z"/,
    /ISUER is not a setting/,
  ]
  t.match(problems, names)
  t.equal(problems.length, names.length)
})

t.test('an unknown name is refused, with the setting that was probably meant', async t => {
  const unknown: readonly (readonly [string, RegExp])[] = [
    ['ISUER', /^MINTMARK_ISUER is not a setting of Mintmark; did you mean MINTMARK_ISSUER\?$/],
    ['DATABASE_URI', /; did you mean MINTMARK_DATABASE_URL\?$/],
    ['ACCESS_TOKEN_SECONDS', /; did you mean MINTMARK_ACCESS_TOKEN_TTL\?$/],
    ['ROOT_KEY', /; did you mean MINTMARK_ROOT_KEY_FILE\?$/],
    ['TELEMETRY', /^MINTMARK_TELEMETRY is not a setting of Mintmark$/],
    ['FOO', /^MINTMARK_FOO is not a setting of Mintmark$/],
  ]
  for (const [name, problem] of unknown) t.match(problemsOf({ [name]: 'hunter2' }), [problem], name)
  t.notMatch(
    problemsOf({ ROOT_KEY: 'hunter2' }).join(),
    /hunter2/,
    'and its value, which may be a secret, is not shown',
  )
})

t.test('what Kubernetes sets for a service named mintmark is recognised', async t => {
  const problems = problemsOf({
    PORT: 'tcp://10.0.0.1:9000',
    SERVICE_HOST: '10.0.0.1',
    SERVICE_PORT_HTTP: '9000',
    PORT_9000_TCP_ADDR: '10.0.0.1',
  })
  t.match(problems, [/PORT is "tcp:/, /add enableServiceLinks: false to the pod/])
})

t.test('the database URL can come from a file, and is never shown', async t => {
  const dir = t.testdir({
    url: 'postgres://mintmark:hunter2@db.example/mintmark\n',
    wrong: 'mysql://mintmark:hunter2@db.example\n',
    windows: '\ufeffpostgres://mintmark:hunter2@db.example/mintmark\r\n',
    wide: Buffer.from('\ufeffpostgres://mintmark:hunter2@db.example/mintmark\r\n', 'utf16le'),
    two: 'postgres://mintmark:hunter2@db.example/a\nsqlite:b\n',
    empty: '\n',
    folder: {},
  })
  t.match(load({ DATABASE_URL_FILE: join(dir, 'url') }), {
    databaseUrl: { engine: 'postgres', url: 'postgres://mintmark:hunter2@db.example/mintmark' },
  })
  t.match(load({ DATABASE_URL_FILE: join(dir, 'windows') }), {
    databaseUrl: { engine: 'postgres', url: 'postgres://mintmark:hunter2@db.example/mintmark' },
  })
  const refused: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ DATABASE_URL_FILE: join(dir, 'missing') }, /missing", which cannot be read$/],
    [{ DATABASE_URL_FILE: join(dir, 'folder') }, /folder", which cannot be read$/],
    [{ DATABASE_URL_FILE: join(dir, 'empty') }, /empty", which is empty$/],
    [
      { DATABASE_URL_FILE: join(dir, 'wide') },
      /wide", which is UTF-16, as PowerShell .* save or pipe it as UTF-8$/,
    ],
    [{ DATABASE_URL_FILE: join(dir, 'two') }, /two", whose one line holds a line break/],
    [{ DATABASE_URL_FILE: 'relative' }, /"\/srv\/relative", which cannot be read$/],
    [
      { DATABASE_URL_FILE: join(dir, 'wrong') },
      /^MINTMARK_DATABASE_URL_FILE is ".*wrong", whose one line takes sqlite:PATH/,
    ],
    [{ DATABASE_URL_FILE: 'postgres://mintmark:hunter2@db' }, /the URL itself is MINTMARK_DATABASE_URL$/],
    [{ DATABASE_URL_FILE: join(dir, 'url'), DATABASE_URL: 'sqlite:x' }, /both set, but only one may be$/],
    [{ DATABASE_URL: 'mysql://mintmark:hunter2@db' }, /takes sqlite:PATH/],
  ]
  for (const [settings, problem] of refused) {
    const problems = problemsOf(settings)
    t.match(problems, [problem])
    t.notMatch(problems.join(), /hunter2/)
  }
})

t.test('a password hook has an address and a secret, and neither is ever shown', async t => {
  const bytes = (count: number) => Buffer.alloc(count, 7)
  const secretOf = (count: number) => `whsec_${bytes(count).toString('base64')}`
  const url = 'https://old.example/check?key=hunter2'
  const dir = t.testdir({ secret: `${secretOf(32)}\n`, wrong: 'hunter2\n' })
  const set = (settings: Record<string, string>) =>
    Object.fromEntries(Object.entries(settings).map(([name, value]) => [`PASSWORD_HOOK_${name}`, value]))
  for (const address of [url, 'http://127.0.0.1:8080/', 'https://10.0.0.1/'])
    for (const secret of [{ SECRET: secretOf(32) }, { SECRET_FILE: join(dir, 'secret') }])
      t.strictSame(load(set({ URL: address, ...secret })).passwordHook, { url: address, key: bytes(32) })
  for (const count of [24, 64])
    t.equal(load(set({ URL: url, SECRET: secretOf(count) })).passwordHook?.key.length, count)
  const refused: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ URL: url }, /^MINTMARK_PASSWORD_HOOK_URL is set, but not .*: set MINTMARK_PASSWORD_HOOK_SECRET$/],
    [{ SECRET: secretOf(32) }, /^MINTMARK_PASSWORD_HOOK_SECRET counts only with MINTMARK_PASSWORD_HOOK_URL/],
    [{ SECRET_FILE: join(dir, 'secret') }, /counts only with MINTMARK_PASSWORD_HOOK_URL/],
    [
      { URL: url, SECRET: secretOf(23) },
      /^MINTMARK_PASSWORD_HOOK_SECRET takes whsec_ and base64 of 24 to 64/,
    ],
    [{ URL: url, SECRET: secretOf(65) }, /takes whsec_/],
    [{ URL: url, SECRET: bytes(32).toString('base64') }, /takes whsec_/],
    [{ URL: url, SECRET: 'whsec_hunter2' }, /takes whsec_/],
    [{ URL: url, SECRET_FILE: join(dir, 'wrong') }, /wrong", whose one line takes whsec_/],
    [
      { URL: url, SECRET_FILE: 'whsec_hunter2' },
      /holds the secret; the secret itself is MINTMARK_PASSWORD_HOOK_SECRET$/,
    ],
    [{ URL: url, SECRET: secretOf(32), SECRET_FILE: join(dir, 'secret') }, /both set, but only one may be$/],
    ...[
      'http://old.example/',
      'https://u:hunter2@old.example/',
      'https://old.example/#hunter2',
      'hunter2',
    ].map(
      other =>
        [{ URL: other, SECRET: secretOf(32) }, /^MINTMARK_PASSWORD_HOOK_URL takes an https URL/] as const,
    ),
  ]
  for (const [settings, problem] of refused) {
    const problems = problemsOf(set(settings))
    t.equal(problems.length, 1, String(problem))
    t.match(problems, [problem])
    t.notMatch(problems.join(), /hunter2|BwcHBw/)
  }
})

t.test('durations are seconds, or have one unit', async t => {
  const durations: readonly (readonly [string, number | undefined])[] = [
    ['300', 300],
    ['0', 0],
    ['90s', 90],
    ['5m', 300],
    ['12h', 43_200],
    ['30d', 2_592_000],
    ['', undefined],
    ['s', undefined],
    ['1w', undefined],
    ['1h30m', undefined],
    ['1.5h', undefined],
    ['-1', undefined],
    ['5 m', undefined],
    ['5M', undefined],
    ['1e3', undefined],
    ['9999999999999', undefined],
  ]
  for (const [text, seconds] of durations) t.equal(parseDuration(text), seconds, text)
  for (const seconds of [0, 1, 59, 60, 90, 3600, 5400, 86_400, 100_000, 2_592_000]) {
    t.equal(
      parseDuration(formatDuration(seconds)),
      seconds,
      `${formatDuration(seconds)} is read as it is written`,
    )
  }
  t.equal(formatDuration(2_592_000), '30d')
  t.equal(formatDuration(5400), '90m')
})

t.test('what deploy/ sets is accepted, and names a version of all that it runs', async t => {
  const read = (file: string) => readFileSync(join(import.meta.dirname, '../../deploy', file), 'utf8')
  const secrets = t.testdir({ 'database-url': 'postgres://mintmark:x@postgres/mintmark?sslmode=disable' })
  const accepted = (env: Record<string, string>) => {
    const inPlace = Object.entries(env).map(([name, value]) => [
      name,
      value
        .replace('/run/secrets', secrets)
        .replace(/\$\{(\w+):\?.*\}/, (_, asked: string) => dotEnv[asked] ?? ''),
    ])
    return loadConfig(Object.fromEntries(inPlace), secrets)
  }
  const pairs = (text: string, line: RegExp) =>
    Object.fromEntries([...text.matchAll(line)].map(([, a, b]) => [a, b]))

  // What the comment has its reader write into .env; Compose refuses to start without.
  const dotEnv = pairs(read('compose.yaml'), /echo '(\w+)=(\S+)' >>? \.env/g)
  t.strictSame(Object.keys(dotEnv), ['MINTMARK_ISSUER', 'MINTMARK_TRUST_PROXY'])
  const image = pairs(read('Dockerfile'), /(MINTMARK_\w+)=(\S+)/g)
  t.match(accepted(image), { home: '/var/lib/mintmark', host: '0.0.0.0' })
  const { services, networks } = parse(read('compose.yaml'))
  t.match(accepted({ ...image, ...services.mintmark.environment }), {
    issuer: 'https://auth.example',
    databaseUrl: { engine: 'postgres' },
    rootKeyIsMounted: true,
    trustProxy: networks.default.ipam.config.map(({ subnet }: { subnet: string }) => subnet),
  })
  t.ok(services.postgres.healthcheck.test.includes('--host=127.0.0.1'), 'its socket answers before it is up')
  const unit = pairs(read('mintmark.service'), /^Environment=(\w+)=(\S+)$/gm)
  t.match(accepted(unit), { home: '/var/lib/mintmark' })

  const images = [...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, name]) => name)
  images.push(services.mintmark.image, services.postgres.image)
  for (const name of images) t.match(name, /^[a-z]+:\d+\.\d+/)
})
