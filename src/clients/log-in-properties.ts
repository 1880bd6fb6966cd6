import { algorithms } from '../keys/algorithms.ts'
import { levels } from '../protocol/levels.ts'
import { isRedirectUri, redirectUriSentence } from '../protocol/redirect-uri.ts'
import { choice, flag, list, requirement, text } from './property-kinds.ts'
import { property } from './property.ts'
import { clientWishes } from './wishes.ts'

/** `once`: it is remembered, and asked again for more. */
export const consentPolicies = ['never', 'once', 'always'] as const

export const profiles = ['none', 'fapi2'] as const

/** The properties of clients to which people log in with a browser: rows of the table in properties.ts. */
export const logInProperties = {
  /** Where people who log in are sent back to (RFC 6749 §3.1.2). */
  redirect_uris: property({
    kind: list(isRedirectUri, { takes: 'redirect URIs', sentence: redirectUriSentence }),
    column: 'redirect_uris',
    group: 'people',
    option: {
      flags: '--redirect-uri <uri...>',
      help: 'where people who log in are sent back to',
      without: 'nobody can log in to it in a browser',
    },
  }),
  /** Where people who have logged out are sent (OpenID Connect RP-Initiated Logout 1.0 §3.1). */
  post_logout_redirect_uris: property({
    kind: list(isRedirectUri, { takes: 'redirect URIs', sentence: redirectUriSentence }),
    column: 'post_logout_redirect_uris',
    group: 'people',
    option: {
      flags: '--post-log-out-uri <uri...>',
      help: 'where people who have logged out are sent',
      without: 'they stay at the server',
    },
  }),
  /** Where it is told that people have been logged out (OpenID Connect Back-Channel Logout 1.0 §2.2). */
  backchannel_logout_uri: property({
    kind: text('a URL'),
    column: 'back_channel_logout_uri',
    group: 'people',
    option: {
      flags: '--back-channel-logout-uri <uri>',
      help: 'where it is told, server to server, who has been logged out',
      without: 'it is not told',
    },
  }),
  /** Every logout token names the session: this is what other servers want to know. */
  backchannel_logout_session_required: property({
    kind: flag,
    column: 'back_channel_logout_session_required',
    group: 'people',
    option: {
      flags: '--back-channel-logout-session-required',
      help: 'it needs the session (sid) in what it is told, where it always is',
      without: 'it does not need it',
    },
  }),
  /** What pages call it. */
  client_name: property({
    kind: text('a name'),
    column: 'client_name',
    group: 'people',
    option: {
      flags: '--name <name>',
      help: 'what the pages call it',
      without: 'by its id',
    },
  }),
  /** Who runs it, for the page that asks for consent. */
  operator: property({
    kind: text('a name'),
    column: 'operator',
    group: 'people',
    option: {
      flags: '--operator <name>',
      help: 'who runs it, for the page that asks for consent',
      without: 'nobody is named',
    },
  }),
  /** Its home page: pages that lead nowhere else lead there. */
  client_uri: property({
    kind: text('a URL'),
    column: 'client_uri',
    group: 'people',
    option: {
      flags: '--home-uri <uri>',
      help: 'its home page, to which pages lead back',
      without: 'pages cannot lead back to it',
    },
  }),
  consent: property({
    kind: choice(consentPolicies, 'never'),
    column: 'consent',
    group: 'people',
    option: {
      flags: '--consent <policy>',
      help: 'whether people are asked: never (your own apps), once, or always',
    },
  }),
  pkce: property({
    kind: choice(['required', 'optional'], 'required'),
    column: 'pkce',
    group: 'people',
    option: { flags: '--pkce <policy>', help: 'optional: it may leave out PKCE, if it is confidential' },
  }),
  /** RFC 9126 §6. */
  require_pushed_authorization_requests: property({
    kind: requirement,
    column: 'par_required',
    group: 'people',
    option: { flags: '--par <policy>', help: 'required: its authorization requests come by /par alone' },
  }),
  /** OpenID Connect Dynamic Client Registration 1.0 §2, as the next two. */
  id_token_signed_response_alg: property({
    kind: choice<string>([...algorithms.keys()], 'RS256'),
    column: 'id_token_alg',
    group: 'people',
    option: { flags: '--id-token-alg <alg>', help: 'what its ID tokens are signed with' },
  }),
  userinfo_signed_response_alg: property({
    kind: text('a JWS algorithm'),
    column: 'userinfo_alg',
    group: 'people',
    option: {
      flags: '--userinfo-alg <alg>',
      help: 'its answers of /userinfo are JWTs, signed with this',
      without: 'they are JSON',
    },
  }),
  claims_in_id_token: property({
    kind: flag,
    column: 'claims_in_id_token',
    group: 'people',
    option: {
      flags: '--claims-in-id-token',
      help: 'its ID tokens have the claims of its scopes too',
      without: 'they are at /userinfo alone',
    },
  }),
  /** The claims that it gets beside those of its scopes. */
  claims: property({
    kind: clientWishes,
    column: 'claims',
    group: 'people',
    option: {
      flags: '--claims <claim...>',
      help: 'what it is told of people beside the claims of its scopes: roles, groups',
      without: 'nothing more',
    },
  }),
  /** The weakest level with which people log in to it. */
  acr: property({
    kind: choice(levels, 'pwd'),
    column: 'acr',
    group: 'people',
    option: {
      flags: '--acr <level>',
      help: 'how surely it is known who logs in: pwd (one factor), mfa (two), phr (two, of which one cannot be phished)',
    },
  }),
  first_party: property({
    kind: flag,
    column: 'first_party',
    group: 'people',
    option: {
      flags: '--first-party',
      help: 'your own app: it may ask for password and codes itself (/authorize-challenge)',
      without: 'people log in at the pages alone',
    },
  }),
  profile: property({
    kind: choice(profiles, 'none'),
    column: 'profile',
    group: 'people',
    option: {
      flags: '--profile <profile>',
      help: 'fapi2: it is held to the FAPI 2.0 Security Profile',
    },
  }),
} as const
