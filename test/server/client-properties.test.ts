import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import t from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { parseDeclaration } from '../../src/admin/declaration.ts'
import {
  plainProperties,
  properties,
  propertyNames,
  type ClientMetadata,
} from '../../src/clients/properties.ts'
import { withDefaults } from '../../src/clients/client-defaults.ts'
import { logInProperties } from '../../src/clients/log-in-properties.ts'
import { claimsFor, scopesOfClaims } from '../../src/protocol/claims.ts'
import { standardClaims } from '../../src/protocol/standard-claims.ts'
import type { PropertyOption } from '../../src/clients/property.ts'
import { clientMetadata, newClientRow } from '../../src/clients/registration.ts'
import { commandsOf } from '../../src/commands/shell/command-line.ts'
import type { Terminal } from '../../src/commands/shell/command.ts'
import { commandLine } from '../helpers/cli.ts'
import { openSeeded } from '../helpers/records.ts'

/** Columns that are no property of their own, and why. */
const otherColumns: Readonly<Record<string, string>> = {
  id: 'the client_id',
  made_by: 'who says what it is',
  registration_hash: 'of the token with which it changes itself',
  claimed_name: 'what a client calls itself that no administrator has made',
  auth_method: 'follows from public, jwks, jwks_uri, tls_subject and tls_self_signed',
  jwks: 'kept for a while after a move to a secret, and then not declared',
  jwks_uri: 'the same',
  tls_subject: 'part of what it authenticates with',
  keys_expire_at: 'until when keys of before are good',
  secret_hash: 'a secret is never declared',
  old_secret_hash: 'the same',
  old_secret_expires_at: 'until when it is good',
  credentials_set_at: 'since when it has what it authenticates with',
  epoch: 'ends its sessions when it is raised',
  created_at: 'when it was added',
  disabled_at: 'when it was disabled',
}

/** A client that differs from a plain one in this property alone, where that is possible. */
const changed: { readonly [Name in keyof typeof properties]: Partial<ClientMetadata> } = {
  public: { public: true },
  jwks: { jwks: { keys: [] } },
  jwks_uri: { jwks_uri: 'https://app.example/jwks' },
  federated: { federated: true },
  tls_subject: { tls_subject: 'san_dns:app.example' },
  tls_self_signed: { tls_self_signed: true, jwks: { keys: [] } },
  tls_client_certificate_bound_access_tokens: { tls_client_certificate_bound_access_tokens: true },
  dpop_bound_access_tokens: { dpop_bound_access_tokens: true },
  grant_types: { grant_types: ['password', 'refresh_token'] },
  scope: { scope: ['read', 'write'] },
  authorization_details_types: { authorization_details_types: ['account', 'payment'] },
  resources: { resources: ['https://a.example', 'https://b.example'] },
  resource_server: { resource_server: ['https://a.example'] },
  admin: { admin: true },
  may_impersonate: { may_impersonate: true },
  refresh: { refresh: 'strict' },
  refresh_idle_ttl: { refresh_idle_ttl: 60 },
  refresh_absolute_ttl: { refresh_absolute_ttl: 90 },
  forwards_user_address: { forwards_user_address: true },
  cors_origins: { cors_origins: ['https://app.example'] },
  redirect_uris: { redirect_uris: ['https://app.example/callback', 'com.example.app:/callback'] },
  post_logout_redirect_uris: { post_logout_redirect_uris: ['https://app.example/bye'] },
  backchannel_logout_uri: { backchannel_logout_uri: 'https://app.example/logged-out' },
  backchannel_logout_session_required: {
    backchannel_logout_uri: 'https://app.example/logged-out',
    backchannel_logout_session_required: true,
  },
  client_name: { client_name: 'The App' },
  operator: { operator: 'Example Ltd' },
  client_uri: { client_uri: 'https://app.example' },
  consent: { consent: 'once' },
  pkce: { pkce: 'optional' },
  require_pushed_authorization_requests: { require_pushed_authorization_requests: true },
  id_token_signed_response_alg: { id_token_signed_response_alg: 'ES256' },
  userinfo_signed_response_alg: { userinfo_signed_response_alg: 'RS256' },
  claims_in_id_token: { claims_in_id_token: true },
  claims: { claims: ['groups'] },
  acr: { acr: 'mfa' },
  first_party: { first_party: true },
  profile: { profile: 'fapi2' },
}

const plain: ClientMetadata = { client_id: 'app', ...plainProperties }

t.test('each column of a client is a property, or is known to be something else', async t => {
  const { db } = await openSeeded(t, {})
  const columns = Object.keys((await findClient(db, 'web')) ?? {})
  const known = propertyNames.flatMap(name => properties[name].column ?? [])
  t.equal(new Set(known).size, known.length, 'no column is that of two properties')
  t.strictSame(columns.toSorted(), [...known, ...Object.keys(otherColumns)].toSorted())
})

t.test('each property is kept in the row of a client, and read from it', async t => {
  const plainRow = newClientRow(plain, { secretHash: null, now: 1 })
  t.strictSame(clientMetadata(plainRow), plain)
  for (const name of propertyNames) {
    const client = { ...plain, ...changed[name] }
    t.notSame(client[name], plain[name], name)
    const row = newClientRow(client, { secretHash: null, now: 1 })
    t.notSame(row, plainRow, name)
    t.strictSame(clientMetadata(row), client, name)
  }
})

t.test('a file declares each property, in the form of the document', async t => {
  const declare = async (client: object) =>
    (await parseDeclaration('the file', JSON.stringify({ clients: [client] }))).clients
  for (const name of propertyNames) {
    const client = { ...plain, ...changed[name] }
    const short = { client_id: 'app', ...withDefaults(changed[name]) }
    t.strictSame(await declare({ client_id: 'app', ...changed[name] }), [short], name)
    t.strictSame(await declare(client), [client], `${name}: whole`)
    await t.rejects(declare({ client_id: 'app', [name]: 1.5 }), {
      message: `the file is not valid:\n- clients[0].${name} takes ${properties[name].kind.takes}`,
    })
  }
})

/** The options of a verb, with their help. */
function optionsOf(verb: string): ReadonlyMap<string, string> {
  const program: CommandUnknownOpts = commandsOf({} as Terminal)
  const client = program.commands.find(command => command.name() === 'client')
  const options = client?.commands.find(command => command.name() === verb)?.options ?? []
  return new Map(options.map(({ long, flags, description }) => [long ?? '', `${flags} ${description}`]))
}

t.test('each property has its option, and what it has alone has --no-…', async t => {
  const [create, update] = [optionsOf('create'), optionsOf('update')]
  const keyOptions = ['--jwks', '--jwks-uri', '--new-key']
  const expected = { create: ['--json', '--id', ...keyOptions, '--secret-file'], update: ['--json'] }
  for (const name of propertyNames) {
    const { option } = properties[name]
    if (option === null) continue
    const { flags, help, updateHelp = help, without }: PropertyOption = option
    const long = flags.split(' ')[0] ?? ''
    expected.create.push(long)
    t.equal(create.get(long), `${flags} ${help}`, name)
    if (updateHelp === null) continue
    expected.update.push(long)
    t.equal(update.get(long), `${flags} ${updateHelp}`, name)
    if (without === undefined) continue
    expected.update.push(long.replace('--', '--no-'))
    t.equal(update.get(long.replace('--', '--no-')), `${long.replace('--', '--no-')} ${without}`, name)
  }
  t.strictSame([...create.keys()].toSorted(), expected.create.toSorted())
  t.strictSame([...update.keys()].toSorted(), expected.update.toSorted())
})

t.test(
  'docs/log-in.md has each property of clients to which people log in, and what each scope gives',
  async t => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/log-in.md'), 'utf8')
    for (const [name, { option }] of Object.entries(logInProperties)) {
      const [flag = ''] = option?.flags.split(' ') ?? []
      t.match(text, new RegExp(`^\\| \`${flag}[ \`].* \\| \`${name}\` \\|`, 'm'), name)
    }
    const rows = [...text.matchAll(/^\| `(\w+)` \| (`.*)\|$/gm)]
    t.strictSame(
      rows.map(([, scope]) => scope),
      scopesOfClaims,
    )
    for (const [, scope = '', cell = ''] of rows) {
      const claims = Object.fromEntries(standardClaims.map(claim => [claim, 1]))
      const given = claimsFor(
        { username: '', roles: [], claims: JSON.stringify(claims) },
        { scopes: [scope] },
      )
      const named = [...(cell.split(':')[0]?.matchAll(/`(\w+)`/g) ?? [])].map(([, name]) => name)
      t.strictSame(named, Object.keys(given), scope)
    }
  },
)

t.test('what is written of them can be typed, and declared', async t => {
  const root = join(import.meta.dirname, '../..')
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.md'))
    .map(file => join('docs', file))
  let examples = 0
  for (const page of ['README.md', ...pages]) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, verb = '', words = ''] of text.matchAll(
      /mintmark client (create|update) ([^`|]*?)(?=[`|]|\n\S)/g,
    )) {
      const options = optionsOf(verb)
      for (const [option] of words.matchAll(/--[a-z-]+/g)) t.ok(options.has(option), `${page}: ${option}`)
      examples++
    }
  }
  t.ok(examples > 8)
  const { stdout } = await commandLine(t).call('apply --help')
  const file = /The file:\n((?: .*\n)+)/.exec(stdout)?.[1] ?? ''
  const { clients } = await parseDeclaration('the example', file)
  t.ok(clients.some(({ client_id: id }) => id === 'web'))
})
