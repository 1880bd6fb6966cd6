import type { Generated } from 'kysely'

/**
 * The schema, as code sees it. Ids of sessions and users are UUIDv7 as 16 bytes; times are whole seconds
 * since the epoch. A state is a nullable time, which also says since when.
 */
export interface Tables {
  installation: InstallationTable
  users: UserTable
  groups: GroupTable
  group_members: GroupMemberTable
  clients: ClientTable
  resources: ResourceTable
  own_claims: OwnClaimTable
  registration_tokens: RegistrationTokenTable
  trusted_issuers: TrustedIssuerTable
  exchangers: ExchangerTable
  sessions: SessionTable
  session_index: SessionIndexTable
  session_index_fill: SessionIndexFillTable
  revocations: RevocationTable
  events: EventTable
  deliveries: DeliveryTable
  receivers: ReceiverTable
  delivery_cursors: DeliveryCursorTable
  offline_sessions: OfflineSessionTable
  personal_access_tokens: PersonalAccessTokenTable
  disabled_users: DisabledUserTable
  streams: StreamTable
  stream_subjects: StreamSubjectTable
  endings: EndingTable
  signing_keys: SigningKeyTable
  token_promises: TokenPromiseTable
  root_keys: RootKeyTable
  status_positions: StatusPositionTable
  status_lists: StatusListTable
  sweeper: SweeperTable
  copies: CopyTable
  copy_progress: CopyProgressTable
  copy_changes: CopyChangeTable
  throttles: ThrottleTable
  known_sources: KnownSourcesTable
  sign_ins: SignInTable
  sign_in_sessions: SignInSessionTable
  consents: ConsentTable
  user_names: UserNameTable
  passkeys: PasskeyTable
  totps: TotpTable
  recovery_codes: RecoveryCodeTable
  outbox: OutboxTable
  audit: AuditTable
  replays: ReplayTable
  device_authorizations: DeviceAuthorizationTable
  imports: ImportTable
  idempotency_keys: IdempotencyKeyTable
  jobs: JobTable
  counts: CountTable
  job_pieces: JobPieceTable
}

/** One row: the identity of this database, and the policy that all instances share. */
export interface InstallationTable {
  id: 1
  issuer: string
  /**
   * The issuer that it was made for. Stored secrets stay encrypted for it when the installation gets a new
   * name.
   */
  founding_issuer: string
  created_at: number
  /** The id of the root key that everything is encrypted under. */
  root_key_id: string
  /**
   * Raised by each change that running servers must hear of: clients, users' status, resources, keys, policy.
   */
  revision: number
  key_rotation_seconds: number
  jwks_max_age_seconds: number
  clock_skew_seconds: number
  /** The largest max-age of lately, as long as somebody may have a key set that was sent with it. */
  largest_max_age_seconds: number
  largest_max_age_until: number
  /** Set when the installation has been moved to another database: it never serves again. */
  moved_at: number | null
  /** When the backup was made that this file is; null in a database that serves. */
  backed_up_at: number | null
  /**
   * The database has gone back in time: what was revoked after this moment may live again, until that is seen
   * to.
   */
  lost_since: number | null
  /** When that was last seen to, or a backup was made fit to serve. */
  revived_at: number | null
  /** Raised by what ends every sign-in there is. */
  sign_in_epoch: number
  /**
   * Part of the keys of what travels sealed through browsers, so that the root key alone makes none of it: 32
   * random bytes in base64url.
   */
  seal_secret: string
}

export interface UserTable {
  id: Buffer
  /** In Unicode normal form C. */
  username: string
  /** A PHC string. */
  password_hash: string
  /** The root key whose pepper the hash needs. */
  root_key_id: string
  /** Separated by spaces, in the form in which they are stored (src/protocol/roles.ts). */
  roles: string
  /** The groups that the user is in, separated by spaces; `group_members` says it the other way round. */
  group_names: string
  /** JSON of the standard claims that the user has (OpenID Connect Core §5.1). */
  claims: string
  /** Raised by each password change, disable and revoke-all. */
  epoch: number
  /** Raised by each change of the mail address: a link that was mailed before is good no more. */
  mail_epoch: number
  created_at: number
  disabled_at: number | null
}

/** Users who have roles together. */
export interface GroupTable {
  id: Buffer
  name: string
  /** As those of a user. */
  roles: string
  created_at: number
  /** Set until the last member is out: it gives no member anything any more, and its name is not free yet. */
  deleted_at: number | null
}

/** The members of groups, so that those of one can be read in pages. */
export interface GroupMemberTable {
  /** The id of the group and then that of the user, 32 bytes. */
  id: Buffer
  since: number
}

/** One file of users that was imported, wholly or up to a line. */
export interface ImportTable {
  /** SHA-256 of the file, in hexadecimal digits. */
  digest: string
  /** How many of its entries are done. */
  lines: number
  created: number
  refused: number
  began_at: number
  ended_at: number | null
}

/** A request to the admin API, or a form, that is done once however often it is sent, and its answer. */
export interface IdempotencyKeyTable {
  /** SHA-256 of the caller and its key. */
  id: Buffer
  /** As in the audit trail; `a browser` for a form. */
  caller: string
  /** Of the answer; null while the request is under way. */
  status: number | null
  /** What was asked for, and the answer: either may hold a secret. */
  sealed: Buffer
  root_key_id: string
  /** A request that is under way then has no process any more. */
  leased_until: number
  created_at: number
}

/** A long work that an administrator has asked for: any server does it, step by step. */
export interface JobTable {
  id: Buffer
  act: 'end_sessions' | 'import_users'
  /** JSON of what was asked for, as it is shown. */
  choice: string
  /** JSON of what is read, step by step, and how; null where an ending is the work. */
  filter: string | null
  /** The ending that it waits for. The number is given out again, once the job has ended. */
  ending_id: number | null
  /** Who has asked, as the audit trail names the actor, and where from. */
  actor: string
  address: string | null
  request_id: string | null
  created_at: number
  /** `receiving`: its file arrives; `failed`: it cannot go on. */
  state: 'receiving' | 'running' | 'done' | 'stopped' | 'failed'
  /** The last session that was looked at. */
  cursor: Buffer | null
  done: number
  /** How many of these were refused; null where none can be. */
  refused: number | null
  /** Null where it is not known. */
  total: number | null
  /** Until then, the process at work on it is believed to be alive. */
  claimed_until: number
  ended_at: number | null
  /** Why it has failed: a sentence without a capital and a full stop. */
  problem: string | null
}

/** A piece of a file that a job reads, or of what it has refused. */
export interface JobPieceTable {
  id: Buffer
  job_id: Buffer
  kind: 'upload' | 'refused'
  /** In the order of the file. */
  number: number
  root_key_id: string
  /** There are password hashes and user names in it. */
  sealed: Buffer
}

/** By what a user is found: each name belongs to one user. */
export interface UserNameTable {
  /** Of a user name that of its user: so filling the table for a million users appends to its index. */
  id: Buffer
  /** As names are compared (`comparedName`, RFC 8265 §3.3). */
  name: string
  user_id: Buffer
  /** `mail`: an address that was verified. */
  kind: 'username' | 'mail'
}

/** A passkey of a user (WebAuthn Level 3 §4, credential record). */
export interface PasskeyTable {
  id: Buffer
  user_id: Buffer
  credential_id: Buffer
  /** COSE_Key (RFC 9052 §7). */
  public_key: Buffer
  /** The signature counter, as last seen; 0 where the authenticator has none. */
  counter: number
  /** As the browser named them, separated by spaces. */
  transports: string
  /** The RP ID that it was made for. */
  rp_id: string
  /** Of the model of its authenticator; all zeros where that says nothing. */
  aaguid: string
  /** Whether it may be on several devices (backup eligible): 1 or 0. */
  is_synced: number
  /** As its owner calls it. */
  name: string
  /** The challenges that it has answered lately, which count no more. */
  spent: string
  created_at: number
  used_at: number | null
}

/** The authenticator app of a user (RFC 6238). */
export interface TotpTable {
  user_id: Buffer
  /** The shared secret, sealed under the root key. */
  secret: Buffer
  root_key_id: string
  /** The time step of the code that was accepted last: earlier ones count no more. */
  last_step: number
  created_at: number
  used_at: number | null
}

/** One of a user's recovery codes. */
export interface RecoveryCodeTable {
  id: Buffer
  user_id: Buffer
  /** The same for all codes of one set. */
  salt: Buffer
  hash: Buffer
  created_at: number
  used_at: number | null
}

/** A mail that waits to be sent. */
export interface OutboxTable {
  id: Buffer
  /** What it is about. */
  kind: string
  /** To whom it goes; null where that is no user yet. */
  user_id: Buffer | null
  /** JSON of the mail, sealed under the root key: there are links in it. */
  sealed: Buffer
  root_key_id: string
  created_at: number
  next_try_at: number
  tries: number
  /** What the SMTP server has answered last. */
  last_error: string | null
}

export interface ClientTable {
  /** The `client_id`. */
  id: string
  /**
   * Who says what it is: `document` is the one at its id, which is a URL
   * (draft-ietf-oauth-client-id-metadata-document), and `registration` is the client itself (RFC 7591).
   */
  made_by: 'administrator' | 'document' | 'registration'
  /** SHA-256 of the token with which it changes its registration (RFC 7592); null for any other. */
  registration_hash: Buffer | null
  /** What such a client calls itself, unchecked. */
  claimed_name: string | null
  /**
   * How it authenticates (RFC 7591 §2), where `client_secret` is both client_secret_basic and
   * client_secret_post, and `federated` is by the assertions of trusted issuers alone.
   */
  auth_method:
    | 'none'
    | 'client_secret'
    | 'private_key_jwt'
    | 'federated'
    | 'tls_client_auth'
    | 'self_signed_tls_client_auth'
  /** SHA-256 of the client secret; null for a client that has none. */
  secret_hash: Buffer | null
  /** The secret before this one, good until `old_secret_expires_at`. */
  old_secret_hash: Buffer | null
  old_secret_expires_at: number | null
  /** Since when it has its secret, keys or certificate; null where it has none, or that is not known. */
  credentials_set_at: number | null
  /** JSON of its public keys (RFC 7517 §5), or where it publishes them; at most one of the two. */
  jwks: string | null
  jwks_uri: string | null
  /** Set when the client has moved from keys to a secret: until then the keys are good too. */
  keys_expire_at: number | null
  /**
   * The one name in the client's certificate that counts (RFC 8705 §2.1.2), after its kind:
   * `san_dns:app.example`.
   */
  tls_subject: string | null
  /** Separated by spaces, like all lists here. */
  grant_types: string
  scope: string
  /** The types of authorization details that it may ask for (RFC 9396 §10). */
  authorization_details_types: string
  /** The resources it may ask tokens for; the first one is the default. */
  resources: string
  /** The audiences whose tokens it may introspect. */
  introspects: string
  /** Nullable times for the two booleans would say nothing more: 1 or 0. */
  is_admin: number
  /**
   * 1 or 0: `dpop_bound_access_tokens` (RFC 9449 §5.2),
   * `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.4).
   */
  dpop_bound: number
  tls_bound: number
  refresh_policy: 'rotate' | 'strict' | 'reuse'
  /** null: the server's setting. */
  refresh_idle_seconds: number | null
  refresh_absolute_seconds: number | null
  /** Whether its users' addresses are in its requests (RFC 7239): 1 or 0. */
  forwards_user_address: number
  /** The origins of its pages; empty: those of the server's setting. */
  cors_origins: string
  /** Where people who log in may be sent back to (RFC 6749 §3.1.2). */
  redirect_uris: string
  /** And where to, once they have logged out (OpenID Connect RP-Initiated Logout §3.1). */
  post_logout_redirect_uris: string
  /** Where it is told that people have been logged out (OpenID Connect Back-Channel Logout §2.2). */
  back_channel_logout_uri: string | null
  /** Whether it wants to be told which of its sessions: 1 or 0. It is told anyway. */
  back_channel_logout_session_required: number
  /** What pages call it, and who runs it; null for its id, and for no operator. */
  client_name: string | null
  operator: string | null
  /** Its home page. */
  client_uri: string | null
  /** Whether people are asked before it gets tokens of theirs. */
  consent: 'never' | 'once' | 'always'
  /** Whether it may leave out PKCE (RFC 7636). */
  pkce: 'required' | 'optional'
  /** `require_pushed_authorization_requests` (RFC 9126 §6): 1 or 0. */
  par_required: number
  /** The JWS algorithm of its ID tokens. */
  id_token_alg: string
  /** That of its answers of /userinfo; null for plain JSON. */
  userinfo_alg: string | null
  /** Whether its ID tokens have the claims of its scopes, as /userinfo does: 1 or 0. */
  claims_in_id_token: number
  /** The claims that it gets at /userinfo beside those of its scopes, separated by spaces. */
  claims: string
  /** `fapi2`: held to the FAPI 2.0 Security Profile. */
  profile: 'none' | 'fapi2'
  /** The weakest level (`acr`) with which its users may log in. */
  acr: 'pwd' | 'mfa' | 'phr'
  /** Whether it may log people in by its own pages (/authorize-challenge): 1 or 0. */
  first_party: number
  /** Whether it may exchange users' tokens for such as do not say that it acts: 1 or 0. */
  may_impersonate: number
  epoch: number
  created_at: number
  disabled_at: number | null
}

/** The clients that exchange tokens, so that they are found among all others. */
export interface ExchangerTable {
  client_id: string
}

export interface ResourceTable {
  /** An absolute URI (RFC 8707 §2), the `aud` of its tokens. */
  uri: string
  scope: string
  /** JSON of an object: what people are told that a scope means, by its name. */
  scope_words: string
  /** The JWS algorithm that signs its tokens. */
  alg: string
  /** The one that does so until a key of `alg` may sign. */
  previous_alg: string | null
  /** null: the server's setting. */
  access_token_seconds: number | null
  /** Whether its tokens say where their status is listed: 1 or 0. */
  has_status: number
  /**
   * The claims that its tokens have beside those of every token, separated by spaces; null for `roles`,
   * where there are any.
   */
  claims: string | null
  /** Whether clients that no administrator has made may ask people for tokens for it: 1 or 0. */
  is_open: number
  /** Whether personal access tokens are taken for it: 1 or 0. */
  personal_access_tokens: number
  /** JSON of an object: its types of authorization details (RFC 9396), by their names. */
  authorization_details_types: string
  created_at: number
}

/** An outside issuer that is trusted to name clients (RFC 7523). */
export interface TrustedIssuerTable {
  /** The `iss` of its assertions. */
  issuer: string
  /** Their `aud`; null for our own issuer. */
  audience: string | null
  /** JSON of its public keys, or where it publishes them; null for both where its metadata say so. */
  jwks: string | null
  jwks_uri: string | null
  /** How long an assertion may live; null for an hour. */
  life_max_seconds: number | null
  /** Whether one assertion may be used more than once: 1 or 0. */
  is_reusable: number
  /** JSON of which subjects name which clients (src/protocol/trusted-subjects.ts). */
  subjects: string
  created_at: number
}

/** An initial access token (RFC 7591 §3), with which clients register themselves. */
export interface RegistrationTokenTable {
  id: Buffer
  /** For administrators. */
  name: string | null
  /** How many clients it may make, and has made. */
  clients_max: number
  clients_made: number
  expires_at: number
  created_at: number
}

/** A claim that the operator has made up. */
export interface OwnClaimTable {
  name: string
  kind: 'string' | 'number' | 'boolean' | 'array'
  /** JSON of where its value comes from (src/protocol/own-claims.ts). */
  source: string
  created_at: number
}

/**
 * One row per session, updated in place by each refresh. No index has a column that a refresh changes. A
 * machine session (`user_id` is null) is what the tokens of `client_credentials` belong to: one per client,
 * never refreshed.
 */
export interface SessionTable {
  id: Buffer
  user_id: Buffer | null
  client_id: string
  /**
   * The epochs that were read before the password was checked. The session lives while they are still the
   * same.
   */
  user_epoch: number
  client_epoch: number
  /** SHA-256 of the session secret; null for a machine session. */
  secret_hash: Buffer | null
  /** How often the session has been rotated. */
  generation: number
  /** All that was granted at the log-in. A refresh may ask for less. */
  scope: string
  /** The one resource that the log-in named; null: any of the client's. */
  resource: string | null
  auth_time: number
  /** Authentication methods (RFC 8176), separated by spaces. */
  amr: string
  /** The idle limit, moved by each refresh; never after the absolute one. */
  expires_at: number
  absolute_expires_at: number
  rotated_at: number
  /**
   * Where that refresh, or the log-in, came from. When a token turns out to be stolen, it is one of the two
   * places.
   */
  last_address: string | null
  /** The retry window: the generation at which it opened, and when. */
  window_generation: number
  window_opened_at: number
  /**
   * One bit for each of the last 8 generations, the lowest for the current: its predecessor was presented
   * late.
   */
  late_history: number
  revoked_at: number | null
  revoke_reason: string | null
  /** Its bit in the status lists. */
  status_position: number
  /**
   * The key that a public client must show at each refresh: the thumbprint of a DPoP key (RFC 9449 §5) or of
   * a certificate (RFC 8705 §4), 32 bytes; null when its refresh tokens are bound to none. Once set, it
   * stays.
   */
  key_thumbprint: Buffer | null
  /** The first generation whose token is bound: an earlier one was handed out without a key. */
  bound_generation: number
  /** When its row was made; null in rows of earlier versions, which began at `auth_time`. */
  started_at: number | null
  /** JSON of the claims that its authorization request named (OpenID Connect Core §5.5); null for none. */
  claims: string | null
  /** JSON of what exactly was granted at its resource (RFC 9396); null for nothing. */
  authorization_details: string | null
}

/**
 * By what sessions are found beside their users: a row for each, apart from it, so that a refresh has no
 * index of it to keep.
 */
export interface SessionIndexTable {
  session_id: Buffer
  client_id: string
  resource: string | null
}

/** One row: how far the index has the sessions of before there was one. */
export interface SessionIndexFillTable {
  id: 1
  /** It has all sessions up to this one. */
  filled_to: Buffer | null
  /** Whether it has all there are: 1 or 0. */
  is_filled: number
}

/** One browser in which one user is logged in to the authorization server itself. */
export interface SignInTable {
  id: Buffer
  user_id: Buffer
  /** As read before the password was checked. The sign-in lives while it is still the same. */
  user_epoch: number
  /** That of the installation. The sign-in lives while it is still the same. */
  sign_in_epoch: number
  /** SHA-256 of the secret in the cookie. */
  secret_hash: Buffer
  /** When the user last proved who it is, and with what (RFC 8176), separated by spaces. */
  auth_time: number
  amr: string
  created_at: number
  /** When it was last used; not newer than by a minute. */
  used_at: number
  expires_at: number
  /** Whether the cookie outlives the browser: 1 or 0. */
  is_persistent: number
  first_address: string
  last_address: string
  /** What the browser calls itself, cut to 200 characters. */
  user_agent: string
  /** SHA-256 of the cookie that tells browsers apart; null where it is not known. */
  browser: Buffer | null
}

/**
 * The sessions that end with the sign-in they came from: all but those with `offline_access`. Apart from the
 * sessions, so that a refresh has no index of it to keep.
 */
export interface SignInSessionTable {
  session_id: Buffer
  sign_in_id: Buffer
}

/** What a user has allowed a client: it is not asked again for the same or less. */
export interface ConsentTable {
  id: Buffer
  user_id: Buffer
  client_id: string
  /** Empty where the request named none. */
  resource: string
  /** Separated by spaces. */
  scope: string
  /** JSON of the authorization details that were allowed last, the latest first; null for none. */
  authorization_details: string | null
  granted_at: number
}

/** The sessions that were revoked lately: the feed that instances follow. */
export interface RevocationTable {
  seq: Generated<number>
  session_id: Buffer
  status_position: number
  revoked_at: number
}

export type EventKind =
  'session' | 'sessions' | 'sign_in' | 'user' | 'client' | 'all' | 'credential' | 'account' | 'assurance'

/** One announcement: what those are told who follow, in the order of the numbers. */
export interface EventTable {
  seq: Generated<number>
  /** Random: another event may get the same number, once the database has gone back in time. */
  id: Buffer
  at: number
  kind: EventKind
  reason: string
  /** The resources whose APIs may be told, separated by spaces; null for all. */
  audiences: string | null
  user_id: Buffer | null
  client_id: string | null
  session_id: Buffer | null
  /** JSON of what belongs to the kind. */
  detail: string | null
}

/** A disabled user, and the resources whose APIs were told: they are told too when the user is enabled. */
export interface DisabledUserTable {
  user_id: Buffer
  /** Separated by spaces. */
  audiences: string
}

/** What one client hears by Shared Signals (SSF 1.0 §8.1.1). */
export interface StreamTable {
  id: Buffer
  /** Its receiver. */
  client_id: string
  /** The `aud` of its events. */
  audience: string
  method: 'push' | 'poll'
  /** Where events are pushed to; null where they are polled. */
  endpoint_url: string | null
  /** The `Authorization` of each push, sealed under the root key; null for none. */
  sealed_authorization: Buffer | null
  root_key_id: string | null
  /** The URIs of event types, separated by spaces; null for all that there are. */
  events_requested: string | null
  status: StreamStatus
  /** Why it has that status. */
  status_reason: string | null
  description: string | null
  /** Whether it is about all users but its subjects, or about its subjects alone. */
  default_subjects: 'ALL' | 'NONE'
  created_at: number
  /** When a verification was last asked for. */
  verified_at: number | null
}

export type StreamStatus = 'enabled' | 'paused' | 'disabled'

/** A user that was added to a stream, or removed from it: the other one of what the stream says of all. */
export interface StreamSubjectTable {
  /** That of the stream, followed by that of the user. */
  id: Buffer
}

/**
 * Something that is to be delivered to a receiver at another server, until that has taken it: the columns
 * `kind` and `receiver` say to whom.
 */
export interface DeliveryTable {
  /** In the order in which they were made. */
  id: Generated<number>
  kind: DeliveryKindName
  receiver: string
  /** A session or a user: of one subject, a receiver gets everything in its order. */
  subject: Buffer
  /** The `jti` of its token, the same at each attempt. */
  token_id: Buffer
  /** JSON of what the token says. */
  content: string
  created_at: number
  /** When it is of no use any more; null where it waits for as long as its receiver is there. */
  expires_at: number | null
  /** Null where its receiver fetches it. */
  next_attempt_at: number | null
  attempts: number
  last_error: string | null
}

/** `logout`: logout tokens for a client. `stream`: security events for a stream (Shared Signals). */
export type DeliveryKindName = 'logout' | 'stream'

/** One to whom something is to be delivered, or who is paused: it has no row otherwise. */
export interface ReceiverTable {
  kind: DeliveryKindName
  /** The id of the client or of the stream. */
  id: string
  /** How many attempts have failed since one succeeded, and since when. */
  failures: number
  failing_since: number | null
  /** It rests until then. */
  next_attempt_at: number
  paused_at: number | null
  /** Until then, the process at work for it is believed to be alive. */
  claimed_until: number
  last_error: string | null
}

/** How far a feed was turned into deliveries. */
export interface DeliveryCursorTable {
  feed: 'events' | 'revocations'
  seq: number
}

/** A session that outlives its sign-in, whose client is told of the log-out all the same. */
export interface OfflineSessionTable {
  session_id: Buffer
  sign_in_id: Buffer
}

/**
 * A token that somebody has made for a program. It is a session that is never refreshed: its scope, its
 * resource, its end and its secret are there, and `rotated_at` is when it was last used, to the hour: as long
 * as that is when it was made, it never was.
 */
export interface PersonalAccessTokenTable {
  session_id: Buffer
  user_id: Buffer
  /** As its owner calls it. */
  name: string
}

/**
 * An epoch was raised, which has ended sessions, but not all of their rows say so yet. Those are a user's, a
 * client's or, where both are null, everybody's.
 */
export interface EndingTable {
  id: Generated<number>
  user_id: Buffer | null
  client_id: string | null
  reason: string
  ended_at: number
  /** The last session that was looked at. */
  cursor: Buffer | null
  /** Until then, the process at work on it is believed to be alive. */
  claimed_until: number
}

export interface SigningKeyTable {
  /** The thumbprint of the public key (RFC 7638). */
  kid: string
  alg: string
  /**
   * The PKCS #8 private key, sealed under the root key and bound to the kid. Only what opens is published.
   */
  sealed_private_key: Buffer
  root_key_id: string
  published_at: number
  activated_at: number | null
  retired_at: number | null
  /** The key stays published at least until then; only ever raised. */
  verify_until: number
  /** And at least so long after it has retired, by steady clocks; only ever raised. */
  verify_seconds: number
  /** How long servers have seen the key waiting, to sign or to leave, by steady clocks. */
  witnessed_seconds: number
  /** An administrator asked for a rotation, as soon as the next key may sign. */
  rotation_requested_at: number | null
  revoked_at: number | null
  revoke_reason: string | null
}

/** How many JWTs a key may sign that expire by then: written before the first of them is handed out. */
export interface TokenPromiseTable {
  kid: string
  expires_at: number
  tokens: number
}

/** The root keys that this database has been under, by their ids. */
export interface RootKeyTable {
  id: string
  current_from: number
  current_until: number | null
}

/** One row: the first number that no instance has leased for a position in the status lists. */
export interface StatusPositionTable {
  id: 1
  next: number
  /** Turns the numbers into positions. Not a secret: a thief of the database sees their order anyway. */
  permutation_key: Buffer
}

/** The status lists that there are, each with its signed form, so that all instances serve the same bytes. */
export interface StatusListTable {
  number: number
  /** All its sessions have ended by then; only ever raised. */
  live_until: number
  /** Raised by each signing, of which one wins. */
  version: number
  jwt: string | null
  signed_at: number | null
  /** Another one is signed from then on. */
  fresh_until: number | null
}

/** One row: how far the sweeper has walked. */
export interface SweeperTable {
  id: 1
  /** The last session looked at in the present pass; null between two, and when sign-ins are looked at. */
  cursor: Buffer | null
  /** The last sign-in looked at, once all sessions were. */
  sign_in_cursor: Buffer | null
  /** The sweeper's own time, which follows the real one slowly. */
  clock: number | null
  /** When the last step was made, and when the last pass came to its end. */
  stepped_at: number | null
  passed_at: number | null
  /** The present pass, or the last one. */
  began_at: number | null
  examined: number
  swept: number
  /** All that was ever deleted. */
  swept_ever: number
  /** The sessions of people that lived when the present pass looked at them. */
  living: number
}

/** At most one row: the part that this database has in a copy of the installation to another database. */
export interface CopyTable {
  /** The same in both. */
  id: string
  role: 'source' | 'target'
  began_at: number
}

/** How far a copy has come, in the database that it goes to. */
export interface CopyProgressTable {
  name: string
  copy_id: string
  /** The last key that is done. */
  cursor_text: string | null
  rows_done: number
  is_done: number
}

/** The changes since a copy began, noted by triggers in the database that it comes from. */
export interface CopyChangeTable {
  seq: Generated<number>
  table_name: string
  key_text: string
}

/** A bucket of wrong guesses, as all servers have filled it together. */
export interface ThrottleTable {
  /** A keyed hash of what the guesses have in common. */
  key: string
  /** Seconds since the epoch. */
  empty_at: number
}

/** Where a user has logged in from lately. */
export interface KnownSourcesTable {
  user_id: Buffer
  /** Keyed hashes and days (src/users/known-sources.ts). */
  sources: Buffer
}

/** The events that matter to security. Rows are added and, when their time is up, deleted; never changed. */
export interface AuditTable {
  id: Generated<number>
  at: number
  event: string
  /**
   * `client ID`, `command USER`, `server` of its own accord, or `nobody` for a caller that has not
   * authenticated.
   */
  actor: string
  user_id: Buffer | null
  client_id: string | null
  session_id: Buffer | null
  /** Where the request came from. */
  address: string | null
  request_id: string | null
  /** How often it happened: in a flood one row stands for many. */
  count: number
  /** JSON of an object. */
  detail: string | null
}

/** A proof or an assertion that was used, and must not be used again before it has expired. */
export interface ReplayTable {
  id: Buffer
  expires_at: number
}

/** What a device has asked for (RFC 8628 §3.1), until it has expired. */
export interface DeviceAuthorizationTable {
  /** That of the session that it becomes. */
  id: Buffer
  client_id: string
  /** When the client was added: a later one with its id has no part in it. */
  client_made_at: number
  /** SHA-256 of the secret in the device code. */
  secret_hash: Buffer
  /** A MAC of the user code. */
  user_code_hash: Buffer
  /** Separated by spaces. */
  scope: string
  /** Null for any of the client's. */
  resource: string | null
  /** JSON of what exactly it asks for (RFC 9396); null for nothing. */
  authorization_details: string | null
  /** Separated by spaces. */
  acr_values: string
  /** The thumbprint of the DPoP key that it is bound to; null for none. */
  dpop_jkt: string | null
  /** Where the device is. */
  address: string
  /** The network of that; null for a client through which all devices come from one. */
  source: string | null
  created_at: number
  expires_at: number
  /** How long the device has to wait between two polls. */
  interval_seconds: number
  polled_at: number | null
  decided_at: number | null
  /** What was approved, sealed; null where it was denied. */
  approval: string | null
}

/** How often things have happened, for charts: in a minute, each server has a row of its own. */
export interface CountTable {
  /** How long the span is: 60, 600 or 3600; 0 for how many there were of something at a moment. */
  seconds: number
  /** When it began. */
  at: number
  /** At random. */
  id: Buffer
  /** JSON of an object: the counts by their names. */
  counted: string
}
