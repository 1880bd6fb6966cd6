import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildAdminApp } from '../src/admin-api/face.ts'
import { loadConfig } from '../src/config/load.ts'
import type { Context } from '../src/context.ts'
import { openLog } from '../src/record/log.ts'
import { generateTypes } from './helpers/generated-client.ts'

/*
 * Writes the types by which the console asks the admin API, before those of the console are checked. Only
 * the settings of a server are needed to describe it.
 */
const config = loadConfig({ MINTMARK_CONSOLE: 'off' }, import.meta.dirname)
const log = openLog('silent', { write: () => {} })
const app = buildAdminApp({ config, log } as unknown as Context, { idOf: () => undefined })
await app.ready()
const folder = join(import.meta.dirname, '../src/console/app/generated')
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'admin-api.ts'), await generateTypes(app.swagger()))
