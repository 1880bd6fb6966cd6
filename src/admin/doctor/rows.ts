import { listResources } from '../../../db/clients/resources.ts'
import { countAllRows, readAllRows } from '../../../db/copy/all-rows.ts'
import type { Row } from '../../../db/copy/tables.ts'
import type { ClientTable, ResourceTable, Tables } from '../../../db/schema.ts'
import type { FindResource } from '../../clients/judge-client.ts'
import { refreshPolicies } from '../../clients/properties.ts'
import { clientMetadata, judgeRegistration, storedResources } from '../../clients/registration.ts'
import { isTrustedIssuerUrl, storedSubjects } from '../../clients/trusted-issuer.ts'
import { isStoredWords } from '../../clients/scope-words.ts'
import { readStoredDetails } from '../../protocol/authorization-details.ts'
import { storedDetailTypes } from '../../protocol/detail-types.ts'
import type { Admin } from '../admin.ts'
import { isResourceUri } from '../../protocol/resource.ts'
import { formatCount, printable } from '../../values/formats.ts'
import { isObject } from '../../values/json.ts'
import { algs } from '../resources.ts'
import type { Examination, Finding } from './finding.ts'

/** More than these are counted only. */
const toldMax = 20

const isBytes = (length: number) => (value: unknown) => Buffer.isBuffer(value) && value.length === length
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0
const isText = (value: unknown) => typeof value === 'string'
const orNull = (isFine: (value: unknown) => boolean) => (value: unknown) => value === null || isFine(value)
const isOneOf = (values: readonly unknown[]) => (value: unknown) => values.includes(value)
/** Our own, a sealed one of another system, or none yet. */
const isPasswordHash = (value: unknown) =>
  isText(value) && /^(\$argon2id\$v=19\$[\w=,]+\$[\w+/]+\$[\w+/]+|\$imported\$[\w-]+|)$/.test(String(value))
/** A text that is JSON of an object. */
function isJsonObject(value: unknown): boolean {
  try {
    return isObject(JSON.parse(String(value)))
  } catch {
    return false // it is not JSON
  }
}

const authMethods = [
  'none',
  'client_secret',
  'private_key_jwt',
  'federated',
  'tls_client_auth',
  'self_signed_tls_client_auth',
]

const areDetails = (value: unknown) => readStoredDetails(String(value)) !== undefined

type Columns = Readonly<Record<string, (value: unknown) => boolean>>

/** Tests of the columns without which a row cannot be used. SQLite holds any value in any of them. */
const columns: Partial<Readonly<Record<keyof Tables, Columns>>> = {
  users: {
    id: isBytes(16),
    username: isText,
    password_hash: isPasswordHash,
    roles: isText,
    claims: isJsonObject,
    epoch: isCount,
  },
  sessions: {
    id: isBytes(16),
    user_id: orNull(isBytes(16)),
    client_id: isText,
    secret_hash: orNull(isBytes(32)),
    generation: isCount,
    expires_at: isCount,
    absolute_expires_at: isCount,
    status_position: isCount,
    user_epoch: isCount,
    client_epoch: isCount,
    authorization_details: orNull(areDetails),
  },
  consents: { authorization_details: orNull(areDetails) },
  clients: {
    auth_method: isOneOf(authMethods),
    secret_hash: orNull(isBytes(32)),
    refresh_policy: isOneOf(refreshPolicies),
    epoch: isCount,
  },
  resources: {
    uri: value => isResourceUri(String(value)),
    alg: isOneOf(algs),
    scope_words: isStoredWords,
    access_token_seconds: orNull(isCount),
    authorization_details_types: value => storedDetailTypes(String(value)) !== undefined,
  },
  trusted_issuers: {
    issuer: value => isTrustedIssuerUrl(String(value)),
    subjects: value => storedSubjects(String(value)) !== undefined,
    life_max_seconds: orNull(isCount),
  },
  installation: { revision: isCount, key_rotation_seconds: isCount, jwks_max_age_seconds: isCount },
  root_keys: { id: value => /^[0-9a-f]{8}$/.test(String(value)), current_from: isCount },
  status_positions: { next: isCount, permutation_key: isBytes(16) },
  revocations: { session_id: isBytes(16), status_position: isCount, revoked_at: isCount },
}

/** Whether every row can be used. A damaged row stops only what needs it, so it may have gone unnoticed. */
export async function checkRows({ db }: Admin, { showProgress }: Examination): Promise<readonly Finding[]> {
  const resources: readonly ResourceTable[] = await listResources(db)
  const findResource = storedResources(resources.map(row => ({ ...row, scope: String(row.scope) })))
  const progress = showProgress('row', await countAllRows(db))
  const findings: Finding[] = []
  let rows = 0
  let damaged = 0
  try {
    for await (const { table, key, row } of readAllRows(db)) {
      progress.at(++rows)
      const wrong = [
        ...wrongColumns(table, row),
        ...(table === 'clients' ? wrongClient(row, findResource) : []),
      ]
      if (wrong.length === 0 || ++damaged > toldMax) continue
      const text = `the row ${printable(key)} of ${table} is damaged: ${wrong.join('; ')}`
      findings.push({
        verdict: 'problem',
        text,
        advice: adviceFor[table] ?? 'put a backup back: `mintmark db restore`',
      })
    }
  } finally {
    progress.end()
  }
  if (damaged > toldMax) {
    findings.push({ verdict: 'problem', text: `and ${formatCount(damaged - toldMax, 'damaged row')} more` })
  }
  return damaged > 0
    ? findings
    : [{ verdict: 'ok', text: `${formatCount(rows, 'row')} read, and none is damaged` }]
}

const adviceFor: Partial<Readonly<Record<keyof Tables, string>>> = {
  users: '`mintmark user passwd NAME` sets another password; else put a backup back: `mintmark db restore`',
  clients: 'delete the client and create it again, or put a backup back: `mintmark db restore`',
  resources: '`mintmark resource update` sets what is wrong; else put a backup back: `mintmark db restore`',
  sessions: 'its user has to log in again',
  consents: 'its user takes back what the app may, on the page /account/apps, and allows it again',
}

function wrongColumns(table: keyof Tables, row: Row): readonly string[] {
  return Object.entries(columns[table] ?? {})
    .filter(([column, isFine]) => !isFine(row[column]))
    .map(([column]) => `${column} cannot be what it is`)
}

function wrongClient(row: Row, findResource: FindResource): readonly string[] {
  const client = row as unknown as ClientTable
  try {
    const missing =
      client.auth_method === 'client_secret' && client.secret_hash === null ? ['it has no secret'] : []
    return [...missing, ...judgeRegistration(clientMetadata(client), findResource).refusals]
  } catch {
    return ['its columns cannot be read']
  }
}
