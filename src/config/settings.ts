import { longestTokenSeconds } from '../protocol/access-token.ts'
import { keyPolicyLimits } from '../protocol/key-lead.ts'
import { sessionLimits } from '../protocol/refresh-token.ts'
import { day } from '../values/duration.ts'
import {
  choice,
  color,
  countOrAuto,
  duration,
  host,
  hostsOrAny,
  integer,
  issuerUrl,
  mailbox,
  networks,
  origins,
  path,
  secret,
  title,
  urlHost,
  type Kind,
} from './kinds.ts'

/** The names of all settings begin with it in the environment. */
export const prefix = 'MINTMARK_'

/** One setting. A row of the README's table has its name, its default and its help. */
export interface Setting<Value> {
  /** Without the prefix. */
  readonly name: string
  readonly kind: Kind<Value>
  /** The value when it is not set. */
  readonly fallback: Value
  readonly help: string
}

function setting<Value>(
  name: string,
  kind: Kind<Value>,
  fallback: NoInfer<Value>,
  help: string,
): Setting<Value> {
  return { name, kind, fallback, help }
}

/** A setting whose default follows other settings: load.ts says how. */
function following<Value>(name: string, kind: Kind<Value>, help: string): Setting<Value | undefined> {
  return { name, kind, fallback: undefined, help }
}

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** Every setting, under its name in the code. Problems are told in this order. */
export const settings = {
  home: following('HOME', path, 'where `db/` and `keys/` lie'),
  port: setting('PORT', integer(0, 65_535), 9000, 'the port that it listens on'),
  workers: setting(
    'WORKERS',
    countOrAuto(1, 64),
    'auto',
    'how many processes share the work; `auto` is 1 on SQLite, and one for each core but one on PostgreSQL (docs/scaling.md)',
  ),
  issuer: following('ISSUER', issuerUrl, 'the `iss` of every token; https, unless the host is loopback'),
  host: setting('HOST', host, '127.0.0.1', 'the address that it listens on'),
  databaseUrl: following('DATABASE_URL', secret, 'the database (`sqlite:PATH` or `postgres://…`)'),
  databaseUrlFile: following('DATABASE_URL_FILE', path, 'a file that holds that URL, instead of it'),
  databasePoolSize: setting(
    'DATABASE_POOL_SIZE',
    integer(2, 100),
    8,
    'connections to PostgreSQL for each instance, shared by its workers',
  ),
  databasePooler: setting(
    'DATABASE_POOLER',
    choice(['none', 'transaction']),
    'none',
    '`transaction` behind a pooler in transaction mode: no LISTEN, no named statements',
  ),
  rootKeyFile: following('ROOT_KEY_FILE', path, 'the root key; made at first start, mode 0600'),
  metricsHost: setting('METRICS_HOST', host, '127.0.0.1', 'the address where `GET /metrics` is'),
  metricsPort: setting('METRICS_PORT', integer(0, 65_535), 9001, 'its port; `0` for no metrics'),
  adminApi: setting(
    'ADMIN_API',
    choice(['on', 'off']),
    'on',
    'whether there is the admin API: `on` or `off`',
  ),
  adminPort: following(
    'ADMIN_PORT',
    integer(0, 65_535),
    'a port for the admin API alone; without it, the admin API is beside all else',
  ),
  adminHost: setting('ADMIN_HOST', host, '127.0.0.1', 'the address of that port'),
  adminUrl: following('ADMIN_URL', issuerUrl, 'where administrators connect to that port, if not directly'),
  console: setting(
    'CONSOLE',
    choice(['on', 'off']),
    'on',
    'whether the admin console is beside the admin API, at `/console`: `on` or `off`',
  ),
  accessTokenSeconds: setting(
    'ACCESS_TOKEN_TTL',
    duration(10, longestTokenSeconds),
    300,
    'how long an access token lives',
  ),
  refreshIdleSeconds: setting(
    'REFRESH_IDLE_TTL',
    duration(...sessionLimits),
    30 * day,
    'how long a session lives unused',
  ),
  refreshAbsoluteSeconds: setting(
    'REFRESH_ABSOLUTE_TTL',
    duration(...sessionLimits),
    180 * day,
    'how long a session lives at all',
  ),
  refreshRetrySeconds: setting(
    'REFRESH_RETRY_WINDOW',
    duration(0, 300),
    10,
    'how long repeated requests are answered alike',
  ),
  refreshLateLimit: setting(
    'REFRESH_LATE_LIMIT',
    integer(1, 8),
    6,
    'how many late generations of the last 8 are theft',
  ),
  signInSeconds: setting(
    'SIGN_IN_TTL',
    duration(...sessionLimits),
    30 * day,
    'how long a browser stays logged in at the pages, if its user wants that',
  ),
  signInSessionSeconds: setting(
    'SIGN_IN_SESSION_TTL',
    duration(...sessionLimits),
    day / 2,
    'and how long otherwise: it may end earlier, with the browser',
  ),
  sessionsPerUser: setting(
    'SESSIONS_PER_USER',
    integer(1, 10_000),
    100,
    'how many sessions through one client, and sign-ins, a user has; a log-in beyond ends the one unused for longest',
  ),
  statusListDelaySeconds: following(
    'STATUS_LIST_DELAY',
    duration(2, 3600),
    'within which time a verifier of status lists sees a revocation',
  ),
  requireSecondFactor: setting(
    'REQUIRE_SECOND_FACTOR',
    choice(['none', 'admins', 'all']),
    'none',
    'who needs a second factor at the pages: users with the role `mintmark:admin`, or `all`',
  ),
  // The first policy of a new database's key ring. Later the database's own counts.
  keyRotationSeconds: setting(
    'KEY_ROTATION_INTERVAL',
    duration(...keyPolicyLimits.rotation),
    30 * day,
    'how long a key signs',
  ),
  jwksMaxAgeSeconds: setting(
    'JWKS_MAX_AGE',
    duration(...keyPolicyLimits.maxAge),
    300,
    'how long verifiers may keep the key set',
  ),
  clockSkewSeconds: setting('CLOCK_SKEW', duration(...keyPolicyLimits.skew), 60, 'what clocks may differ by'),
  auditSeconds: setting(
    'AUDIT_RETENTION',
    duration(day, 3650 * day),
    90 * day,
    'how long the entries of the audit trail are kept',
  ),
  trustProxy: setting(
    'TRUST_PROXY',
    networks,
    [],
    'proxies whose `X-Forwarded-For` is believed, as far as it holds addresses, with or without ports',
  ),
  clientCert: setting(
    'CLIENT_CERT',
    choice(['off', 'verified', 'any']),
    'off',
    'whether those proxies pass client certificates on (RFC 9440): `verified` ones, or `any`',
  ),
  mtlsUrl: following('MTLS_URL', issuerUrl, 'where clients with certificates connect, if elsewhere'),
  jwksUriNetworks: setting(
    'JWKS_URI_NETWORKS',
    networks,
    [],
    'private networks in which clients and trusted issuers may publish their keys, and clients of hosts that are named their documents',
  ),
  clientDocumentHosts: setting(
    'CLIENT_DOCUMENT_HOSTS',
    hostsOrAny,
    [],
    'hosts whose clients are known by a document at their `client_id`, and need no registration; or `any`',
  ),
  clientRegistration: setting(
    'CLIENT_REGISTRATION',
    choice(['off', 'token']),
    'off',
    'whether clients may register themselves: `off`, or with a `token` that an administrator has made',
  ),
  deliveryNetworks: setting(
    'DELIVERY_NETWORKS',
    networks,
    [],
    'private networks in which clients may be told of log-outs, and receivers of security events',
  ),
  corsOrigins: setting(
    'CORS_ORIGINS',
    origins,
    [],
    'exact origins of browser apps, but for clients with their own (`--cors-origin`)',
  ),
  drainSeconds: setting(
    'DRAIN',
    duration(0, 600),
    5,
    'how long a server that is told to end goes on serving, while `ready` says 503 and each answer closes its connection',
  ),
  passkeyRpId: following(
    'PASSKEY_RP_ID',
    urlHost,
    'the domain that passkeys are for: the host of the issuer, or a parent domain of it',
  ),
  name: following('NAME', title, 'whose pages they are, as the pages say'),
  logoFile: following('LOGO_FILE', path, 'the logo on the pages: PNG, JPEG, WebP or SVG, 256 KiB at most'),
  color: setting('COLOR', color, '#0f766e', 'the colour of buttons and links on the pages'),
  smtpUrl: following(
    'SMTP_URL',
    secret,
    'where mails are sent (`smtps://USER:PASSWORD@HOST` or `smtp://…`); without it nothing is offered that needs mail',
  ),
  smtpUrlFile: following('SMTP_URL_FILE', path, 'a file that holds that URL, instead of it'),
  mailFrom: following('MAIL_FROM', mailbox, 'who sends the mails: `Example <no-reply@example.com>`'),
  passwordHookUrl: following(
    'PASSWORD_HOOK_URL',
    secret,
    'where an old system is asked about user names that are unknown here (https; http only for a loopback host)',
  ),
  passwordHookSecret: following(
    'PASSWORD_HOOK_SECRET',
    secret,
    'what those requests are signed with: `whsec_` and base64 of 24 to 64 random bytes',
  ),
  passwordHookSecretFile: following(
    'PASSWORD_HOOK_SECRET_FILE',
    path,
    'a file that holds that secret, instead of it',
  ),
  signUp: setting(
    'SIGN_UP',
    choice(['off', 'open']),
    'off',
    'whether people may make accounts by themselves, by a link that is mailed to them: `off` or `open`',
  ),
  mailsPerHour: setting(
    'MAILS_PER_HOUR',
    integer(1, 1_000_000),
    900,
    'how many resets are mailed at once to all together, and how many each hour (3600 at most); as many sign-ups, and verifications',
  ),
  // Most proxies keep a connection for a minute. Ours lives longer, so that the proxy is the one that closes
  // it.
  keepAliveSeconds: setting(
    'KEEP_ALIVE',
    duration(1, day),
    72,
    'how long idle connections are kept: longer than the proxy keeps them',
  ),
  logLevel: setting('LOG_LEVEL', choice(levels), 'info', '`debug` adds a line for each request'),
} as const
