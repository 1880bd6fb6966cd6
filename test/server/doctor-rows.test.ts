import t from 'tap'
import { sql } from 'kysely'
import { commandLine } from '../helpers/cli.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { wrap } from '../../src/users/wrapped-hash.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

await forEachEngine(
  t,
  'doctor finds each row that is damaged, in whichever table, and says what to do',
  async (t, env) => {
    const server = await startServer(t, env)
    const { call } = commandLine(t)
    const doctor = async () =>
      (await call('doctor --json', { env: { MINTMARK_ISSUER: 'https://as.example', ...besideEnv(server) } }))
        .json()
        .findings.filter(({ check }: any) => check === 'rows')
    const api = 'https://api.example'
    await server.resource(api)
    const app = await server.client('app', { resources: api })
    const ada = await server.user('ada')
    await server.logIn(app, ada)
    const { db, rootKeys } = server.ctx
    const consent = { user_id: ada.id, client_id: 'app', resource: '', scope: 'read', granted_at: 1 }
    await db.sql
      .insertInto('consents')
      .values({ id: newUuid(1), ...consent })
      .execute()
    for (const [name, change] of [
      ['invited', { password_hash: '' }],
      ['imported', wrap(rootKeys, '{SSHA}AAAA')],
    ] as const) {
      const { id } = await server.user(name)
      await db.sql.updateTable('users').set(change).where('id', '=', id).execute()
    }
    t.match(await doctor(), [{ verdict: 'ok', text: /^\d+ rows read, and none is damaged$/ }])

    const damages: readonly (readonly [statement: string, undo: string, text: RegExp])[] = [
      [
        "update users set password_hash = 'x' || password_hash",
        'update users set password_hash = substr(password_hash, 2)',
        /^the row \w{32} of users is damaged: password_hash cannot/,
      ],
      [
        'update users set epoch = -1 - epoch',
        'update users set epoch = -1 - epoch',
        /of users is damaged: epoch cannot/,
      ],
      [
        'update sessions set generation = -1',
        'update sessions set generation = 0',
        /^the row \w{32} of sessions is damaged: generation/,
      ],
      [
        "update clients set jwks = '{', auth_method = 'private_key_jwt'",
        "update clients set jwks = null, auth_method = 'client_secret'",
        /^the row app of clients is damaged: its columns cannot be read/,
      ],
      [
        "update clients set auth_method = 'secret'",
        "update clients set auth_method = 'client_secret'",
        /of clients is damaged: auth_method cannot/,
      ],
      [
        "update clients set refresh_policy = 'always'",
        "update clients set refresh_policy = 'rotate'",
        /of clients is damaged: refresh_policy cannot/,
      ],
      [
        "update clients set resources = 'https://gone.example'",
        `update clients set resources = '${api}'`,
        /of clients is damaged: there is no resource https:\/\/gone.example/,
      ],
      [
        "update resources set alg = 'ES257'",
        "update resources set alg = 'ES256'",
        /^the row https:\/\/api.example of resources is damaged: alg cannot/,
      ],
      [
        `update resources set scope_words = '{"read":1}'`,
        "update resources set scope_words = '{}'",
        /of resources is damaged: scope_words cannot/,
      ],
      [
        `update resources set authorization_details_types = '{"a":{}}'`,
        "update resources set authorization_details_types = '{}'",
        /of resources is damaged: authorization_details_types cannot/,
      ],
      [
        `update sessions set authorization_details = '[{"type":1}]'`,
        'update sessions set authorization_details = null',
        /of sessions is damaged: authorization_details cannot/,
      ],
      [
        "update consents set authorization_details = '{'",
        'update consents set authorization_details = null',
        /of consents is damaged: authorization_details cannot/,
      ],
      [
        'update installation set revision = -1 - revision',
        'update installation set revision = -1 - revision',
        /of installation is damaged: revision cannot/,
      ],
      [
        'update status_positions set next = -1 - next',
        'update status_positions set next = -1 - next',
        /of status_positions is damaged: next cannot/,
      ],
    ]
    for (const [statement, undo, text] of damages) {
      await sql.raw(statement).execute(db.sql)
      t.match(await doctor(), [{ verdict: 'problem', text, advice: /.+/ }], statement)
      await sql.raw(undo).execute(db.sql)
    }
    t.match(await doctor(), [{ verdict: 'ok' }], 'and nothing where all is right again')

    for (let i = 0; i < 3; i++) {
      const revocations = Array.from({ length: 800 }, () => ({
        session_id: newUuid(1),
        status_position: 1,
        revoked_at: 1,
      }))
      await db.sql.insertInto('revocations').values(revocations).execute()
    }
    await sql.raw('update revocations set revoked_at = -1 where seq % 100 = 0').execute(db.sql)
    const found = await doctor()
    t.equal(found.length, 21)
    t.match(found.at(-1), { text: 'and 4 damaged rows more' }, 'of 2,400 rows in three pages, all were read')
  },
)
